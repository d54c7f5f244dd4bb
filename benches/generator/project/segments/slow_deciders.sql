-- title: Looked around for two weeks before the first order
-- purpose: product
-- description: A list to remember products would help them.
days_since(first_event_at('Product Viewed')) >= customer_age + 14
