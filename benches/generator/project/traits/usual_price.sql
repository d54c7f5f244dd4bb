-- title: Usual price looked at
-- description: The median price of the products that somebody looks at.
event_percentile('Product Viewed', 'price', 0.5)
