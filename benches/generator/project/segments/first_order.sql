-- title: Bought for the first time in the last month
-- purpose: marketing
-- description: Welcome series.
did_first_time('Order Completed', within => interval '30 days')
