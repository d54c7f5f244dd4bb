-- title: Mostly there between ten in the evening and five
-- purpose: product
-- description: More than half of at least five pages; the hours are in UTC.
event_count('Page Viewed') >= 5
and event_count('Page Viewed') filter (where date_part('hour', occurred_at) >= 22 or date_part('hour', occurred_at) < 5)
  / event_count('Page Viewed') > 0.5
