-- title: Support tickets
event_count('Ticket Opened')
