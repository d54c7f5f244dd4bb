-- title: Came back after 60 days
-- purpose: marketing
-- description: Bought in the last two weeks, and not in the 60 days before.
did('Order Completed', within => interval '14 days')
and not did('Order Completed', within => interval '60 days', ago => interval '14 days')
and customer_age > 74
