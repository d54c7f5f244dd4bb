-- The identifiers on each list.
--
-- key: list, namespace, value
-- strategy: full
-- columns:
--   list       text  the list
--   namespace  text  the identifier's namespace
--   value      text  the identifier, as it is stored
select list, namespace, value from config.listed
