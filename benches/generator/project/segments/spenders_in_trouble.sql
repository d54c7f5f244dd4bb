-- title: Big spenders who opened a ticket: call them
-- purpose: service
-- description: In the last 30 days.
in_segment('big_spenders')
and did('Ticket Opened', within => interval '30 days')
