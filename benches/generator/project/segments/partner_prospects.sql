-- title: Bought addresses with consent, never seen
-- purpose: marketing
-- description: Third-party data: the partner says that they agreed.
consented('marketing') and event_count = 0
