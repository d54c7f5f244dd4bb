-- title: Categories looked at
event_distinct('Product Viewed', 'category')
