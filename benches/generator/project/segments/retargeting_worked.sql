-- title: Bought after retargeting
-- purpose: marketing
-- description: Within three days of coming by the campaign.
did_sequence(
  event('Page Viewed') filter (where utm_campaign = 'retargeting') then 'Order Completed',
  span => interval '3 days')
