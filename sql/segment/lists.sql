-- The lists of identifiers that segments may name.
--
-- key: list
-- strategy: full
-- columns:
--   list         text    its name: the file's
--   identifiers  bigint  how many are on it
--   dropped      bigint  values that are no identifiers: blocked, or not of their namespace
select list, identifiers, dropped from config.lists
