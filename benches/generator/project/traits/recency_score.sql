-- title: Recency, 1 to 5
-- description: 5 for the fifth of all buyers who bought last.
score(recency, 5, 'descending')
