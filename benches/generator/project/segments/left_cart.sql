-- title: Filled a cart this week and went no further
-- purpose: marketing
-- description: Earlier than `left_at_checkout`: they did not even begin one.
did('Product Added', within => interval '7 days')
and not did_sequence('Product Added' then 'Checkout Started', within => interval '7 days')
