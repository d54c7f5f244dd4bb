-- title: A tent in the cart, never a pack
-- purpose: marketing
-- description: Cross-selling in the outdoor department.
contains(carted_categories, 'outdoor/tents') and not contains(carted_categories, 'outdoor/packs')
