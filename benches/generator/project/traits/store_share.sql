-- title: Share of orders in stores
event_count('Order Completed') filter (where touchpoint = 'pos') / event_count('Order Completed')
