"""What is kept: the record of one attempt at a run, and the folder of records. No torch here."""
