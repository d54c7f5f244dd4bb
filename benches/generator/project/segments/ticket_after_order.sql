-- title: A ticket within three days of an order
-- purpose: service
-- description: Something went wrong with it.
did_sequence('Order Completed' then 'Ticket Opened', span => interval '3 days', within => interval '90 days')
