-- title: On the site in each of the last four weeks
-- purpose: marketing
-- description: A habit: show them what is new.
did_weekly('Page Viewed', times => 1, weeks => 4)
