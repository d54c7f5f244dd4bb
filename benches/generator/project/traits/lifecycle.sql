-- title: Stage of life
case
  when orders = 0 and event_count = 0 then 'contact'
  when orders = 0 then 'visitor'
  when customer_age <= 30 then 'new'
  when recency <= 30 then 'active'
  when recency <= 60 then 'cooling'
  else 'lapsed'
end
