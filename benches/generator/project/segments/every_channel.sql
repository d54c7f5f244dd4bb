-- title: Bought on the web, in the app and in a store
-- purpose: marketing
-- description: The few who use all that the shop has.
did('Order Completed') filter (where touchpoint = 'web')
and did('Order Completed') filter (where touchpoint = 'mobile')
and did('Order Completed') filter (where touchpoint = 'pos')
