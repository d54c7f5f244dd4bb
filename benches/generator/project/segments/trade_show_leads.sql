-- title: Met at a trade show, never bought
-- purpose: marketing
-- description: For the sales team.
lead_source = 'Trade Show' and orders = 0
