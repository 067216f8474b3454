"""The metrics: what can be computed from a record, in which unit, and how a margin on it is meant."""

from dataclasses import dataclass
from typing import Literal

Quantity = Literal["accuracy", "seconds", "bytes", "loss", "epochs", "other"]

TABLE_METRICS = ("best_accuracy", "train_s", "whole_program_s")
"""Metrics that a table of a benchmark that can be run may print."""


@dataclass(frozen=True)
class MetricFacts:
    """What a metric is, in words."""

    title: str
    quantity: Quantity
    needs: str = ""
    """Without which a run has no such value."""


METRICS: dict[str, MetricFacts] = {
    "best_accuracy": MetricFacts("best test accuracy, as published", "accuracy"),
    "clean_accuracy": MetricFacts("clean test accuracy", "accuracy"),
    "train_s": MetricFacts("time of training alone", "seconds"),
    "whole_program_s": MetricFacts("time of the whole program", "seconds"),
    "process_peak_bytes": MetricFacts("peak device memory of the process", "bytes", "a measurement of device memory"),
    "final_train_accuracy": MetricFacts("training accuracy, last epoch", "accuracy"),
    "final_train_loss": MetricFacts("training loss, last epoch", "loss"),
    "train_loss_drop": MetricFacts("fall of the training loss", "loss", "2 epochs"),
    "test_loss_drop": MetricFacts("fall of the clean test loss", "loss", "2 epochs tested on as many images"),
    "generalization_gap": MetricFacts("training accuracy of the last epoch less clean test accuracy", "accuracy"),
    "epochs_to_level": MetricFacts("epochs until clean test accuracy reaches a level", "epochs", "5 epochs"),
    "epochs_to_plateau": MetricFacts("epochs until clean test accuracy nears its highest", "epochs", "5 epochs"),
    "jitter": MetricFacts("noise of clean test accuracy from epoch to epoch", "accuracy", "5 epochs"),
    "late_gain": MetricFacts("clean test accuracy, last quarter of epochs less the one before", "accuracy", "8 epochs"),
    "gain_at_first_cut": MetricFacts(
        "clean test accuracy after the first cut of the rate less before",
        "accuracy",
        "a cut of the rate with 3 epochs on either side",
    ),
    "gain_at_last_cut": MetricFacts(
        "clean test accuracy after the last cut of the rate less before",
        "accuracy",
        "a cut of the rate with 3 epochs on either side",
    ),
}

CHANGES = frozenset({"train_loss_drop", "test_loss_drop", "late_gain", "gain_at_first_cut", "gain_at_last_cut"})
"""Metrics that are a change within one run: a bound on one of them is a direction, on any other metric a value."""

MARGIN_UNITS: dict[Quantity, str] = {
    "accuracy": "points",
    "seconds": "%",
    "bytes": "%",
    "loss": "nats",
    "epochs": "epochs",
    "other": "",
}
"""The unit of a margin. Times and memory are compared by ratio: their margin is a percentage."""


def quantity_of(metric: str) -> Quantity:
    """Return what a metric measures; of one that is not the suite's own, `other`."""
    return METRICS[metric].quantity if metric in METRICS else "other"
