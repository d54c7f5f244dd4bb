-- title: Lapsed, and worth a letter
-- purpose: marketing
-- description: Of the lapsed those who spent most.
in_segment('lapsed') and monetary_score >= 4
