-- title: Largest order
event_max('Order Completed', revenue)
