-- title: Average order value
-- description: Of the orders whose amount is known.
round(event_avg('Order Completed', revenue), 2)
