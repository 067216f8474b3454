"""What records say of each claim: samples, statistics, verdicts, and how many seeds they take."""
