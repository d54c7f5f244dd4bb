-- title: Few orders, but large ones
-- purpose: marketing
-- description: Worth a personal letter.
orders <= 2 and largest_order >= 200
