-- title: Days between two orders
-- description: On average; not known before the second order.
(customer_age - recency) / nullif(orders - 1, 0)
