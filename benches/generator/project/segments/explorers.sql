-- title: At home in many departments
-- purpose: product
-- description: Looked at products of eight categories or more.
category_count >= 8
