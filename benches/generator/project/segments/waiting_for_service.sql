-- title: Waits for an answer
-- purpose: service
-- description: Opened a ticket in the last two weeks, and none was solved since.
did('Ticket Opened', within => interval '14 days')
and not did_sequence('Ticket Opened' then 'Ticket Solved', within => interval '14 days')
