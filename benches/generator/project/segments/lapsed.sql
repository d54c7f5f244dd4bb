-- title: Bought, but not for 60 days
-- purpose: marketing
-- description: Others build on this one.
recency > 60
