-- title: Best customers
-- purpose: marketing
-- description: Among the best fifth in frequency and spending, and bought lately.
frequency_score = 5 and monetary_score = 5 and recency_score >= 4
