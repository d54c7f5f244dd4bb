-- title: Many small orders
-- purpose: marketing
-- description: Offer free delivery from a sum on.
orders >= 4 and median_order < 60
