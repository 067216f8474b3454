"""What records mean: derived numbers, tables, figures and the report. No torch here."""
