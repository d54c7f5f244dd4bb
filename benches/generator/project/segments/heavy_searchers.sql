-- title: Searches a lot
-- purpose: product
-- description: Five searches or more in the last 90 days.
event_count('Products Searched', within => interval '90 days') >= 5
