-- title: Buyers without a visit for a month
-- purpose: marketing
-- description: Neither on the site nor in the app; of buyers in stores only nothing is known.
orders >= 1 and days_since_visit > 30
