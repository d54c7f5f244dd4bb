-- title: Big spenders
-- purpose: marketing
-- description: 1,000 in all, and two orders in the last 90 days.
lifetime_value >= 1000
and event_count('Order Completed', within => interval '90 days') >= 2
