"""Peaks of memory, each from its own source; what is unknown is null with a reason, never 0."""

import resource
import sys
from contextlib import suppress

import torch

NO_DEVICE = "the run used no accelerator"
NO_STATISTICS = "torch's allocator keeps no statistics for this device, or nothing was allocated"
UNKNOWN_PEAKS = (RuntimeError, AttributeError, AssertionError, ValueError)
"""What torch raises of a device kind whose allocator keeps no statistics. Measuring must not end a run."""


def reset_peaks(device: torch.device) -> None:
    """Forget the allocator's peaks so far, where it keeps them."""
    if device.type != "cpu":
        with suppress(*UNKNOWN_PEAKS):
            torch.accelerator.reset_peak_memory_stats(device)


def allocator_peaks(device: torch.device) -> dict[str, int | None]:
    """Return the peaks of torch's allocator since the last reset (bytes), under the record's keys; None: not known."""
    allocated = reserved = 0
    if device.type != "cpu":
        with suppress(*UNKNOWN_PEAKS):
            allocated = torch.accelerator.max_memory_allocated(device)
            reserved = torch.accelerator.max_memory_reserved(device)
    # An allocator that keeps no statistics answers 0, which is no measurement.
    return {"allocated_peak_bytes": allocated or None, "reserved_peak_bytes": reserved or None}


def rss_peak_bytes() -> int:
    """Return the largest resident memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes everywhere but on macOS
