-- title: Left a cart of 200 or more at the checkout
-- purpose: marketing
-- description: Worth a call, not only a mail.
in_segment('left_at_checkout')
and did('Checkout Started', within => interval '7 days') filter (where property('value') >= 200)
