-- The links of the crowded components after they were laid again, one after the other, as far as limits allow.
--
-- key: a, b
-- strategy: step
-- columns:
--   a             text       the more trusted identifier
--   b             text       the other
--   a_component   text       the smallest identifier of the person that `a` is of
--   b_component   text       the smallest identifier of the person that `b` is of
--   last_seen_at  timestamp  when they were last seen together
--   exceeded      text       the namespace whose limit the link would have broken; null for a link that stands
select a, b, a_component, b_component, last_seen_at, exceeded
from replay_links((select component as cluster, identifiers, last_seen_at from identity.crowded_sets))
