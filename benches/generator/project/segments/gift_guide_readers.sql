-- title: Read the gift guide
-- purpose: marketing
-- description: Write to them before the next holidays.
did('Page Viewed') filter (where page_path = '/blog/gift-guide')
