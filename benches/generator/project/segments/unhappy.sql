-- title: Rated service 3 or worse, last time
-- purpose: service
-- description: A later, better rating takes them out.
cast(event_last('Ticket Rated', 'satisfaction') as integer) <= 3
