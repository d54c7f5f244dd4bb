-- title: Buyers outside of France
-- purpose: marketing
-- description: Who told no country is not in it.
country <> 'FR' and orders >= 1
