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
--   reason        text       why the link does not count; null for a link that stands
--   exceeded      text       the limit that it would have broken: a namespace, or `links_max`; null if a correction is the reason
select a, b, a_component, b_component, last_seen_at, reason, exceeded
from replay_links((select component as cluster, kind, identifiers, last_seen_at from identity.crowded_sets))
