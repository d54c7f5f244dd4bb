-- title: A customer who complained and never bought again
-- purpose: service
-- description: For 30 days at least.
did_sequence('Order Completed' then 'Ticket Opened')
and not did_sequence('Ticket Opened' then 'Order Completed')
and recency > 30
