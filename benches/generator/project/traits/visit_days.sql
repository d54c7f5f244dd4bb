-- title: Days on the site in the last 30
-- window: 30 days
event_days('Page Viewed')
