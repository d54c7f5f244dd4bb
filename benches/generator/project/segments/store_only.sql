-- title: Buys in stores only
-- purpose: marketing
-- description: Invite them to the web shop.
store_share = 1 and event_count('Page Viewed') = 0
