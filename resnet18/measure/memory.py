"""Peaks of memory, each from its own source; what is unknown is null with a reason, never 0."""

import resource
import sys

import torch

NO_DEVICE = "the run used no accelerator"
NOT_SAMPLED = "this version of the suite does not sample NVML"


def reset_peaks(device: torch.device) -> None:
    """Forget the allocator's peaks so far."""
    if device.type != "cpu":
        torch.accelerator.reset_peak_memory_stats(device)


def memory_peaks(device: torch.device) -> tuple[dict[str, int | None], dict[str, str]]:
    """Return the `memory` part of a record, and the reasons for its nulls (bytes)."""
    peaks: dict[str, int | None] = {
        "allocated_peak_bytes": None,
        "reserved_peak_bytes": None,
        "device_peak_bytes": None,
        "device_baseline_bytes": None,
        "process_peak_bytes": None,
    }
    if device.type != "cpu":
        # An allocator that keeps no statistics answers 0, which is no measurement.
        peaks["allocated_peak_bytes"] = torch.accelerator.max_memory_allocated(device) or None
        peaks["reserved_peak_bytes"] = torch.accelerator.max_memory_reserved(device) or None
    reason = NO_DEVICE if device.type == "cpu" else NOT_SAMPLED
    reasons = {f"memory.{key}": reason for key, value in peaks.items() if value is None}
    return {**peaks, "rss_peak_bytes": rss_peak_bytes()}, reasons


def rss_peak_bytes() -> int:
    """Return the largest resident memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes everywhere but on macOS
