-- title: Favourite store
event_most_frequent('Order Completed', 'store')
