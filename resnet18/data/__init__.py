"""Data sets: how they come to this machine, whose checksums say what they are, their subsets, and the random keys."""
