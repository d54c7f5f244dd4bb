-- title: Bought in the last 30 days
-- purpose: marketing
-- description: Leave them out of reminders.
did('Order Completed', within => interval '30 days')
