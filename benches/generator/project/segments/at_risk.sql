-- title: Late for the next order
-- purpose: marketing
-- description: Three orders or more, and a pause twice as long as usual.
orders >= 3 and recency > 2 * days_between_orders
