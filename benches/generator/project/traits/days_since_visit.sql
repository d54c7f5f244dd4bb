-- title: Days since the last visit
-- description: On the site or in the app.
days_since(greatest(last_event_at('Page Viewed'), last_event_at('Screen Viewed')))
