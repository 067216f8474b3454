"""Numbers computed from a record. None of them is ever stored."""

from collections.abc import Callable

from resnet18.records.record import Record


def best_accuracy(record: Record) -> float:
    """Return the highest test accuracy over the epochs, as published: the test set itself chose the epoch."""
    return max(epoch.as_published.accuracy for epoch in record.epochs)


def last_clean_accuracy(record: Record) -> float:
    """Return the test accuracy after the last epoch, on images that are only resized and normalized."""
    return record.epochs[-1].clean.accuracy


def train_s(record: Record) -> float:
    """Return the seconds of training alone, waiting for data included (the scope of Table 4)."""
    return sum(epoch.train_s for epoch in record.epochs)


def whole_program_s(record: Record) -> float:
    """Return the seconds of training, its statistics and the as-published evaluation (the scope of Tables 2 and 3)."""
    return sum(epoch.train_s + (epoch.statistics_s or 0) + epoch.eval_as_published_s for epoch in record.epochs)


METRICS: dict[str, Callable[[Record], float]] = {
    "best_accuracy": best_accuracy,
    "last_clean_accuracy": last_clean_accuracy,
    "train_s": train_s,
    "whole_program_s": whole_program_s,
}

SCOPES = {
    "train_s": "training alone, without statistics and evaluation",
    "whole_program_s": "whole program: training, statistics and the as-published evaluation",
}


def machine(record: Record) -> str:
    """Return what must agree before times are averaged: processor, device and threads."""
    numerics = record.fingerprint.numerics or {}
    parts = [numerics.get(key) for key in ("gpu_model", "cpu_model", "threads")]
    model, threads = next((part for part in parts[:2] if part), "unknown machine"), parts[2]
    return f"{model}, {threads} {'thread' if threads == 1 else 'threads'}" if threads else str(model)
