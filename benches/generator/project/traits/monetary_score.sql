-- title: Monetary value, 1 to 5
-- description: 5 for the fifth of all buyers who spent most.
score(nullif(spent, 0), 5)
