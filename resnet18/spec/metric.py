"""The metrics: what can be computed from a record, in which unit, and how a margin on it is meant."""

from dataclasses import dataclass
from typing import Literal

Quantity = Literal["accuracy", "seconds", "bytes", "loss", "epochs", "other"]

Metric = Literal[
    "best_accuracy",
    "last_clean_accuracy",
    "train_s",
    "whole_program_s",
    "process_peak_bytes",
    "final_train_accuracy",
    "final_train_loss",
    "train_loss_drop",
    "test_loss_drop",
    "generalization_gap",
    "epochs_to_level",
    "epochs_to_plateau",
    "jitter",
    "late_gain",
    "gain_at_first_cut",
    "gain_at_last_cut",
]
"""A closed vocabulary. `METRICS` says what each one is."""

TABLE_METRICS = ("best_accuracy", "train_s", "whole_program_s")
"""Metrics that a table of a benchmark that can be run may print."""


@dataclass(frozen=True)
class MetricFacts:
    """What a metric is, in words."""

    title: str
    quantity: Quantity


METRICS: dict[str, MetricFacts] = {
    "best_accuracy": MetricFacts("best test accuracy over the epochs, as published", "accuracy"),
    "last_clean_accuracy": MetricFacts("test accuracy after the last epoch, clean", "accuracy"),
    "train_s": MetricFacts("time of training alone", "seconds"),
    "whole_program_s": MetricFacts("time of training, statistics and as-published evaluation", "seconds"),
    "process_peak_bytes": MetricFacts("peak device memory of the training process", "bytes"),
    "final_train_accuracy": MetricFacts("training accuracy of the last epoch", "accuracy"),
    "final_train_loss": MetricFacts("training loss of the last epoch", "loss"),
    "train_loss_drop": MetricFacts("training loss of the first epoch less that of the last", "loss"),
    "test_loss_drop": MetricFacts("test loss (clean) after the first epoch less that after the last", "loss"),
    "generalization_gap": MetricFacts("training accuracy less test accuracy (clean), last epoch", "accuracy"),
    "epochs_to_level": MetricFacts("epochs until test accuracy (clean) reaches a level", "epochs"),
    "epochs_to_plateau": MetricFacts("epochs until test accuracy (clean) is within 2 points of its highest", "epochs"),
    "jitter": MetricFacts("noise of test accuracy (clean) from epoch to epoch, from second differences", "accuracy"),
    "late_gain": MetricFacts("test accuracy (clean), mean of the last quarter of epochs less that before", "accuracy"),
    "gain_at_first_cut": MetricFacts("test accuracy (clean) after the first cut of the rate less before", "accuracy"),
    "gain_at_last_cut": MetricFacts("test accuracy (clean) after the last cut of the rate less before", "accuracy"),
}

MARGIN_UNITS: dict[Quantity, str] = {
    "accuracy": "points",
    "seconds": "%",
    "bytes": "%",
    "loss": "nats",
    "epochs": "epochs",
    "other": "",
}
"""The unit of a margin. Times and memory are compared by ratio: their margin is a percentage."""
