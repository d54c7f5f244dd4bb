-- title: Shoes in the cart, never a bag
-- purpose: marketing
-- description: Cross-selling in the women's department.
contains(carted_categories, 'women/shoes') and not contains(carted_categories, 'women/bags')
