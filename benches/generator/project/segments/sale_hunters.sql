-- title: Searches for the sale
-- purpose: marketing
-- description: At least half of their searches, and more than one of them.
sale_share >= 0.5 and event_count('Products Searched') >= 2
