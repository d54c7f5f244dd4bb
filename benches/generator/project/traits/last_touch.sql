-- title: Last touch
-- description: The last campaign that brought somebody to the site.
event_last('Page Viewed', utm_source)
