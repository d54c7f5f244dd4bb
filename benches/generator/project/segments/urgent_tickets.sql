-- title: An urgent ticket this month
-- purpose: service
-- description: Whoever took the call marked it so.
did('Ticket Opened', within => interval '30 days') filter (where property('priority') = 'high')
