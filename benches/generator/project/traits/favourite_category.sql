-- title: Favourite category
-- description: The one whose products somebody looks at most.
event_most_frequent('Product Viewed', 'category')
