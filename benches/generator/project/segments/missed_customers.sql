-- title: Bought last month, not this month
-- purpose: reporting
-- description: How many of last month's buyers did not come back.
orders_30_days = 0 and orders_30_days_before > 0
