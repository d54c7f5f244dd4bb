-- title: Looks at one category only
-- purpose: product
-- description: Five products or more, all of one category.
category_count = 1 and event_count('Product Viewed') >= 5
