-- title: Bought for the first time this week
-- purpose: marketing
-- description: First letter of the welcome series.
did_first_time('Order Completed', within => interval '7 days')
