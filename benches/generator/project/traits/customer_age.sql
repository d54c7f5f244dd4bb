-- title: Days since the first order
-- type: integer
days_since(first_order_at)
