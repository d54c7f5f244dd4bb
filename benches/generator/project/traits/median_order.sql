-- title: Median order value
-- description: Half of the orders were at most this large: one dear tent does not move it.
event_percentile('Order Completed', revenue, 0.5)
