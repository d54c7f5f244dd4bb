-- title: Parents
-- purpose: marketing
-- description: Likes the children's department, or a partner says so.
favourite_category like 'kids/%' or interest = 'family'
