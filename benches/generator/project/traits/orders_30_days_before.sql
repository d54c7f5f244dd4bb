-- title: Orders of the 30 days before those
event_count('Order Completed', within => interval '30 days', ago => interval '30 days')
