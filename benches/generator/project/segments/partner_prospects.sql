-- title: Bought addresses with consent, never seen
-- purpose: marketing
-- description: Third-party data: the partner says that they agreed.
marketing_consent = 'yes' and event_count = 0
