-- title: Spent
-- description: Orders whose amount is not known count as 0.
-- type: decimal
event_sum('Order Completed', revenue)
