-- title: Spent in the last 90 days
-- window: 90 days
event_sum('Order Completed', revenue)
