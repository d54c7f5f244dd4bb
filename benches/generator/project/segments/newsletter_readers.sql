-- title: Came by the newsletter this month
-- purpose: marketing
-- description: They read it: no need to send it twice.
did('Page Viewed', within => interval '30 days') filter (where utm_source = 'newsletter')
