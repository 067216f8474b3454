"""A published report checked against itself: nothing is trained, and nothing but its own words and numbers is used.

`reading` turns a benchmark file into printed cells; each other file finds one family of defects; `audit` holds the
table of all kinds. Only the standard library and `spec` are imported, so that an answer takes less than a second.
"""
