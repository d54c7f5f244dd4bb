-- title: Mostly in the app
-- purpose: product
-- description: Four fifths of what they look at.
app_share >= 0.8 and event_count('Screen Viewed') >= 10
