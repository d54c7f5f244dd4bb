-- title: Share of views in the app
event_count('Screen Viewed') / (event_count('Screen Viewed') + event_count('Page Viewed'))
