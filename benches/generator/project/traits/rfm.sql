-- title: Recency, frequency and monetary value
-- description: 555 for the best; not known of those who never bought.
cast(recency_score as text) || cast(frequency_score as text) || cast(monetary_score as text)
