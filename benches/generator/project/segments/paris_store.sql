-- title: Regulars of the stores in Paris
-- purpose: marketing
-- description: Invitations to evenings in the store.
favourite_store like 'Paris %' and orders >= 3
