-- title: One order, two to six weeks ago
-- purpose: marketing
-- description: Remind them while the first order is fresh.
orders = 1 and recency between 14 and 42
