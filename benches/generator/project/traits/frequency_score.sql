-- title: Frequency, 1 to 5
-- description: 5 for the fifth of all buyers who order most often.
score(nullif(orders, 0), 5)
