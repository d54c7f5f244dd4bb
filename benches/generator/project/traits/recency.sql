-- title: Days since the last order
-- type: integer
days_since(last_order_at)
