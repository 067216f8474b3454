"""What records say of each claim: comparisons, verdicts, and how many seeds they take; statistics: `tables`."""
