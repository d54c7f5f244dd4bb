-- title: Brought by advertising, never bought
-- purpose: marketing
-- description: Advertising that was paid and did not pay.
first_touch in ('google', 'facebook', 'instagram') and orders = 0
