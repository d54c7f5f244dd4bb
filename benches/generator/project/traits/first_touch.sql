-- title: First touch
-- description: The first campaign that brought somebody to the site.
event_first('Page Viewed', utm_source)
