-- title: Orders
-- description: On the web, in the app and in stores.
-- type: integer
event_count('Order Completed')
