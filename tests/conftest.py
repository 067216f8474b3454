"""Settings for all tests."""

from hypothesis import settings

# The same examples every time: a test that fails, fails for everybody.
settings.register_profile("suite", derandomize=True, deadline=None, max_examples=60, database=None)
settings.load_profile("suite")
