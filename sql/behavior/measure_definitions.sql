-- The measures that traits and segments define, by the numbers that `behavior.defined_measures` knows them by.
--
-- key: measure_id
-- strategy: full
-- columns:
--   measure_id  bigint   the number: given once, until everything is computed anew
--   event_name  text     the events that it is of
--   definition  text     what is kept of them, and under which condition
--   is_kept     boolean  false if no trait and no segment needs it any more: its rows are of the time before
select measure_id, event_name, definition, is_kept from config.measures
