-- title: Categories ever put into the cart
-- type: list
event_values('Product Added', 'category')
