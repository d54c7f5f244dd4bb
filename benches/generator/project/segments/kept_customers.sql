-- title: Bought in both of the last two months
-- purpose: reporting
-- description: How many of last month's buyers stayed.
orders_30_days > 0 and orders_30_days_before > 0
