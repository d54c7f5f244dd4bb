-- title: May get mail
-- purpose: marketing
-- description: An address, told on the site or to the sales team, and no objection to mail.
(email is not null or lead_source is not null) and email_opt_out is not true
