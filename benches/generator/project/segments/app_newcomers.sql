-- title: In the app for the first time this month
-- purpose: product
-- description: Show them around.
did_first_time('Screen Viewed', within => interval '30 days')
