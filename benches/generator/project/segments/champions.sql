-- title: Best in everything
-- purpose: marketing
-- description: Recency, frequency and monetary value are all 5.
rfm = '555'
