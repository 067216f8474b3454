"""Settings for all tests."""

import os
import tempfile

from hypothesis import settings

# Before any fork server starts, which keeps the environment of its start: tests leave the user's cache alone.
os.environ["RESNET18_DATA"] = tempfile.mkdtemp(prefix="resnet18-test-data-")

# The same examples every time: a test that fails, fails for everybody.
settings.register_profile("suite", derandomize=True, deadline=None, max_examples=60, database=None)
settings.load_profile("suite")
