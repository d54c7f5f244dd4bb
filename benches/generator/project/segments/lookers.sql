-- title: Looked at ten products, never put one into the cart
-- purpose: product
-- description: What keeps them?
event_count('Product Viewed') >= 10 and not did('Product Added')
