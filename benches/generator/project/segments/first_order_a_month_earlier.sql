-- title: Bought for the first time a month earlier
-- purpose: reporting
-- description: To compare with `first_order`: does the shop win more customers than it did?
did_first_time('Order Completed', within => interval '30 days', ago => interval '30 days')
