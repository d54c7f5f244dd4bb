-- title: Looks at shoes, never puts them into the cart
-- purpose: product
-- description: Sizes, pictures or prices?
event_count('Product Viewed') filter (where property('category') like '%/shoes') >= 5
and not did('Product Added') filter (where property('category') like '%/shoes')
