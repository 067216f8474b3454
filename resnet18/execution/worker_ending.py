"""How an attempt ends that does not end well: the status that an exception amounts to, and its words."""

import torch

from resnet18.execution.job import Job
from resnet18.execution.redact import redacted
from resnet18.records.record import Status
from resnet18.spec.data import data_home, path_from_text
from resnet18.training.device import UnsupportedError
from resnet18.training.results import DivergedError

DEVICE_IS_FULL = (
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)
"""Errors of libraries under torch that are not torch.OutOfMemoryError. Read in issue threads, not seen on hardware."""
HOST_IS_FULL = (
    "can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "[Errno 12] Cannot allocate memory",
)
"""What torch's allocator says in plain RuntimeErrors (the second on Windows), and the system that cannot fork."""
CANNOT_BE_HAD = ("could not create a primitive", "could not create a memory object", "could not execute a primitive")
"""What oneDNN says of any failure: want of memory where a cap is in force, and nothing certain elsewhere."""


class InterruptedRunError(Exception):
    """The user asked the run to stop; it did so between two steps."""


class TimeLimitError(Exception):
    """The attempt has taken as long as it may."""


STATUSES: dict[type[Exception], Status] = {
    InterruptedRunError: "interrupted",
    TimeLimitError: "timeout",
    UnsupportedError: "unsupported",
    DivergedError: "diverged",
}


def classify(error: Exception, *, is_capped: bool = False) -> Status:
    """Return the status that an exception amounts to, under a `memory_cap` or without one."""
    if type(error) in STATUSES:
        return STATUSES[type(error)]
    if isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in DEVICE_IS_FULL):
        return "oom_device"
    host_is_full = HOST_IS_FULL + (CANNOT_BE_HAD if is_capped else ())
    if isinstance(error, MemoryError) or any(text in str(error) for text in host_is_full):
        return "oom_host"
    return "crashed"


def in_words(error: BaseException) -> str:
    """Return kind and text of an error, and of what it came from: only there does torch say how a loader died."""
    text = f"{type(error).__name__}: {error}"
    return text if error.__cause__ is None else f"{text}, from {in_words(error.__cause__)}"


def told(error: Exception, job: Job) -> str:
    """Return what a record may say of an error: no path, person, machine or secret."""
    places = [path_from_text(job.results), data_home()]
    if job.place.path is not None:
        places.append(path_from_text(job.place.path).parent)
    return redacted(in_words(error), folders=[str(place) for place in places])
