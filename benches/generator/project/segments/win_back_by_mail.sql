-- title: Lapsed and worth a letter, by mail
-- purpose: marketing
-- description: Segments of segments: who, and how to reach them.
in_segment('win_back') and in_segment('may_get_mail')
