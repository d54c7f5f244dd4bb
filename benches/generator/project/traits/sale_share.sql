-- title: Share of searches for the sale
event_count('Products Searched') filter (where property('query') = 'sale') / event_count('Products Searched')
