"""Production: a frozen config becomes a champion, by steps that a stopped run can repeat."""
