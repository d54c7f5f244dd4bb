-- title: From the product to the order in ten minutes
-- purpose: product
-- description: They know what they want: keep the way short.
did_sequence('Product Viewed' then 'Checkout Started' then 'Order Completed', span => interval '10 minutes')
