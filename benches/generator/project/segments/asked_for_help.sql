-- title: Read a help page before ordering
-- purpose: product
-- description: Within a day of the order.
did_sequence(event('Page Viewed') filter (where page_section = 'help') then 'Order Completed', span => interval '1 day')
