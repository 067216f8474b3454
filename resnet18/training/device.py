"""The device of a run, with the threads and flags that the spec asks for."""

import os

import torch

from resnet18.spec.experiment import Execution


def ready_device(execution: Execution) -> torch.device:
    """Set threads and flags as the spec asks, and return the device; `auto` takes an accelerator where there is one."""
    if execution.threads != "auto":
        torch.set_num_threads(execution.threads)
    if execution.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when CUDA starts
        torch.use_deterministic_algorithms(mode=True)
    if execution.device == "auto":
        device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    else:
        device = torch.device(execution.device)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False  # torch's default is True
    return device


def synchronize(device: torch.device) -> None:
    """Wait for the device's queued work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
