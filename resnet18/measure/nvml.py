"""What a run costs on its device: torch's own peaks, and on an NVIDIA device what NVML tells from outside.

    with watch_device(device) as watch:
        ...  # the run
    facts = watch.facts()

NVML shows what `nvidia-smi` shows: the CUDA context, other processes and the driver, which torch's allocator does not
count. It has to be polled, so that its peaks are lower bounds. What it may and may not tell stands with each reason.
"""

import os
from typing import Self

import torch

from resnet18.measure.device_facts import DeviceFacts, device_facts
from resnet18.measure.memory import NO_DEVICE, NO_STATISTICS, allocator_peaks, reset_peaks, rss_peak_bytes
from resnet18.measure.nvml_device import uuid_candidates
from resnet18.measure.sampler import Findings, Sampler

NOT_NVIDIA = "{kind} devices are not watched: NVML is for NVIDIA's"


def watch_device(device: torch.device, *, period_s: float = 0.1) -> "DeviceWatch":
    """Return a watch to be opened around a run's work.

    Args:
        device: of the run, with any index. NVML's is found by UUID, since torch and NVML count in different orders.
        period_s: seconds between two samples. A peak between two samples is missed: the record holds the period.
    """
    return DeviceWatch(device, period_s)


class DeviceWatch:
    """Watches a device from the opening of the context to its end. It never raises for what it cannot learn.

    What is measured when: the opening resets torch's peaks and reads the baseline, before the run's first tensor is on
    the device. Asking torch for the UUID starts CUDA, and whether that makes this process's context (hundreds of MiB)
    depends on CUDA's version, so that the baseline may or may not include it. The end takes a last sample.
    """

    def __init__(self, device: torch.device, period_s: float) -> None:
        self._device = device
        self._sampler = Sampler(_uuids(device), period_s) if device.type == "cuda" else None
        self._facts: DeviceFacts | None = None

    def __enter__(self) -> Self:
        reset_peaks(self._device)
        if self._sampler is not None:
            self._sampler.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._sampler is not None:
            self._sampler.__exit__()
        kind = self._device.type
        unwatched = Findings(faults={"device": NO_DEVICE if kind == "cpu" else NOT_NVIDIA.format(kind=kind)})
        self._facts = device_facts(
            unwatched if self._sampler is None else self._sampler.findings(),
            {**allocator_peaks(self._device), "rss_peak_bytes": rss_peak_bytes()},
            NO_DEVICE if kind == "cpu" else NO_STATISTICS,
        )

    def facts(self) -> DeviceFacts:
        """Return what the run has cost.

        Raises:
            RuntimeError: the context has not been left yet.
        """
        if self._facts is None:
            raise RuntimeError("the facts of a run are known when its watch is closed")
        return self._facts


def _uuids(device: torch.device) -> tuple[str, ...]:
    """Return the names that NVML may have for a CUDA device; none where torch cannot say."""
    try:
        told = str(torch.cuda.get_device_properties(device).uuid)
    except (AttributeError, RuntimeError, AssertionError):  # too old a torch, no driver, no such device
        told = None
    return uuid_candidates(device.index or 0, told, os.environ.get("CUDA_VISIBLE_DEVICES"))
