-- title: Satisfaction with service
-- description: From 1 to 5, the mean of all ratings.
event_avg('Ticket Rated', 'satisfaction')
