-- title: Looks at dear things
-- purpose: marketing
-- description: Half of the products that they look at cost 150 or more.
usual_price >= 150 and category_count >= 2
