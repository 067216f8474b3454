"""When the data of a claim are looked at. Apart from the statistics, whose libraries a plan does without."""

LOOKS: dict[int, float] = {3: 0.1, 5: 0.3, 10: 0.6}
"""Seeds at which the data are looked at, and the share of the error that each look may spend."""
