"""What the tests of both engines share."""

import threading
import time


def hashes(records):
    """Return the result hash of each run."""
    return {record.run_id: record.result_hash for record in records}


def when(condition, action, limit_s=60.0):
    """Do something in the background as soon as something is so."""

    def watch():
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s:
            if condition():
                action()
                return
            threading.Event().wait(0.02)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread
