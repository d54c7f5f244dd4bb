-- title: Loyal customers in France who went quiet
-- purpose: marketing
-- description: Two orders in 90 days, no page for two weeks.
country = 'FR' and lifetime_value >= 500
and event_count('Order Completed', within => interval '90 days') >= 2
and not did('Page Viewed', within => interval '14 days')
