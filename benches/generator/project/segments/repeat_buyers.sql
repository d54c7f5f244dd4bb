-- title: Bought at least twice
-- purpose: marketing
-- description: Ask them for a review.
orders >= 2
