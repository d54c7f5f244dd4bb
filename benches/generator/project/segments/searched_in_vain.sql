-- title: Searched twice and looked at nothing in between
-- purpose: product
-- description: Within ten minutes: what the search found was not it.
did_sequence('Products Searched' then not 'Product Viewed' then 'Products Searched', span => interval '10 minutes')
