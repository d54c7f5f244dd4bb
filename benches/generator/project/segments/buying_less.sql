-- title: Buys less than a month ago
-- purpose: marketing
-- description: Orders of the last 30 days against the 30 days before.
orders_30_days < orders_30_days_before
