-- title: Orders of the last 30 days
-- window: 30 days
event_count('Order Completed')
