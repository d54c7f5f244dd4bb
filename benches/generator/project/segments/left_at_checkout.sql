-- title: Started a checkout this week and did not buy
-- purpose: marketing
-- description: Who bought first and came back to a checkout is in it, too.
did('Checkout Started', within => interval '7 days')
and not did_sequence('Checkout Started' then 'Order Completed', within => interval '7 days')
