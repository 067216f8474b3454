"""Quantities: the metrics of a record, numbers as a report printed them, durations, and the memory of a training."""

import re
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from resnet18.spec.experiment import Experiment

Quantity = Literal["accuracy", "seconds", "bytes", "loss", "epochs", "other"]

TABLE_METRICS = ("best_accuracy", "train_s", "whole_program_s")
"""Metrics that a table of a benchmark that can be run may print."""


@dataclass(frozen=True)
class MetricFacts:
    """What a metric is, in words."""

    title: str
    quantity: Quantity
    needs: str = ""  # without which a run has no such value


CLEAN, CUT = "clean test accuracy", "a cut of the rate with 3 epochs on either side"
METRICS: dict[str, MetricFacts] = {
    "best_accuracy": MetricFacts("best test accuracy, as published", "accuracy"),
    "clean_accuracy": MetricFacts(CLEAN, "accuracy"),
    "train_s": MetricFacts("time of training alone", "seconds"),
    "whole_program_s": MetricFacts("time of the whole program", "seconds"),
    "process_peak_bytes": MetricFacts("peak device memory of the process", "bytes", "a measurement of device memory"),
    "final_train_accuracy": MetricFacts("training accuracy, last epoch", "accuracy"),
    "final_train_loss": MetricFacts("training loss, last epoch", "loss"),
    "train_loss_drop": MetricFacts("fall of the training loss", "loss", "2 epochs"),
    "test_loss_drop": MetricFacts("fall of the clean test loss", "loss", "2 epochs tested on as many images"),
    "generalization_gap": MetricFacts(f"training accuracy of the last epoch less {CLEAN}", "accuracy"),
    "epochs_to_level": MetricFacts(f"epochs until {CLEAN} reaches a level", "epochs", "5 epochs"),
    "epochs_to_plateau": MetricFacts(f"epochs until {CLEAN} nears its highest", "epochs", "5 epochs"),
    "jitter": MetricFacts(f"noise of {CLEAN} from epoch to epoch", "accuracy", "5 epochs"),
    "late_gain": MetricFacts(f"{CLEAN}, last quarter of epochs less the one before", "accuracy", "8 epochs"),
    "gain_at_first_cut": MetricFacts(f"{CLEAN} after the first cut of the rate less before", "accuracy", CUT),
    "gain_at_last_cut": MetricFacts(f"{CLEAN} after the last cut of the rate less before", "accuracy", CUT),
}
CHANGES = frozenset({"train_loss_drop", "test_loss_drop", "late_gain", "gain_at_first_cut", "gain_at_last_cut"})
"""Metrics that are a change within one run: a bound on one of them is a direction, on any other metric a value."""
MARGIN_UNITS: dict[Quantity, str] = {"accuracy": "points", "seconds": "%", "bytes": "%", "loss": "nats"}
MARGIN_UNITS |= {"epochs": "epochs", "other": ""}
"""The unit of a margin. Times and memory are compared by ratio: their margin is a percentage."""
UNITS = {"%": 1.0, "points": 1.0, "s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3_600.0}
UNITS |= {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
"""Known units, and what they are worth in percent, seconds or bytes."""
UNITS_OF: dict[Quantity, tuple[str, ...]] = {"accuracy": ("%", "points"), "seconds": ("s", "ms", "min", "h")}
UNITS_OF["bytes"] = ("B", "kB", "MB", "GB", "KiB", "MiB", "GiB")
"""The units of a quantity; a quantity that is not listed needs none."""
LARGEST_SIZE = 2**50


def quantity_of(metric: str) -> Quantity:
    """Return what a metric measures; of one that is not the suite's own, `other`."""
    return METRICS[metric].quantity if metric in METRICS else "other"


_NUMBER = re.compile(
    r"(?P<about>about |approximately |approx\. |circa |ca\. |~ ?)?(?P<number>[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?)"
    r"\s*(?P<unit>%|[A-Za-z]+)?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class Printed:
    """A printed number, in percent, seconds, bytes, or without a unit."""

    text: str
    value: float
    half_step: float  # half of the last printed digit: the true value lies within it on either side
    decimals: int  # digits after the point, as printed
    unit: str  # empty where none was printed
    is_approximate: bool

    @property
    def low(self) -> float:
        """The least number that rounds to this one."""
        return self.value - self.half_step

    @property
    def high(self) -> float:
        """The greatest number that rounds to this one."""
        return self.value + self.half_step

    @property
    def digits(self) -> str:
        """The digits as printed, from the first that is not zero; those of an exponent are left out."""
        mantissa = self.text.lower().partition("e")[0]
        return "".join(filter(str.isdigit, mantissa)).lstrip("0")


def parse_printed(text: str) -> Printed | None:
    """Return the number that a string is, None where it is none: "Out of Memory"."""
    found = _NUMBER.fullmatch(text.strip())
    if found is None or (found["unit"] and found["unit"] not in UNITS):
        return None
    digits = found["number"].replace(",", "")
    mantissa, _, exponent = digits.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    worth = UNITS[found["unit"]] if found["unit"] else 1.0
    value = float(digits) * worth
    half_step = 0.5 * float(f"1e{int(exponent or 0) - decimals}") * worth
    if not isfinite(value) or not isfinite(half_step):  # 0e999 is 0 to the nearest infinity
        return None
    return Printed(text, value, half_step, decimals, found["unit"] or "", found["about"] is not None)


def _exact_bytes(text: str) -> float:
    """Return the bytes that a size means; 0 where the text is no size, or only "about" so much."""
    printed = parse_printed(text)
    is_exact = printed and not printed.is_approximate and printed.unit in UNITS_OF["bytes"]
    return printed.value if printed and is_exact else 0.0


def card_bytes(text: str) -> float | None:
    """Return the memory of a card in bytes, None where the text is no exact amount. As sold, `24 GB` are `24 GiB`."""
    size = _exact_bytes(text.replace("GB", "GiB").replace("MB", "MiB"))
    return size if size > 0 else None


def size_in_bytes(text: object) -> int:
    """Return the bytes that a size such as `24GiB` means, to the nearest; ValueError if no memory has such a size."""
    size = round(_exact_bytes(text)) if isinstance(text, str) else 0
    if not 1 <= size <= LARGEST_SIZE:
        units = ", ".join(UNITS_OF["bytes"])
        raise ValueError(f'"{text}" is no size of a memory; write a number and one of {units}, for example "24GiB"')
    return size


def canonical_size(text: object) -> str:
    """Return the one spelling of a size, in the largest unit of which it is a whole number: `1.5 GiB` is `1536MiB`."""
    size = size_in_bytes(text)
    unit = next(unit for unit in ("GiB", "MiB", "KiB", "B") if size % int(UNITS[unit]) == 0)
    return f"{size // int(UNITS[unit])}{unit}"


def duration(seconds: float) -> str:
    """Return a length of time: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"


FLOAT, LONG = 4, 8  # bytes of a number, and of the labels and the positions that a max pool chose
CONTEXT_BYTES = 2 * 2**30  # that a driver's context and the workspaces of libraries may take beside the training
FITS, OUT_OF_MEMORY, UNSURE = "fits", "out of memory", "unsure"
LARGE_SHARE = 0.5  # share of the tensors in the large allowance. A choice, not a measurement (docs/forecast.md).
EVALUATION_BATCH = 100  # images that the training loop evaluates at once
PARTS = ("weights", "gradients", "state", "activations", "input", "transient")  # add up to the peak


@dataclass(frozen=True)
class Forecast:
    """The peak memory of a run in bytes, by what is live at that moment."""

    phase: str  # when the peak is: `loading`, `forward`, `backward`, `optimizer step` or `evaluation`
    weights: int  # parameters and the running statistics of batch norm
    gradients: int
    state: int  # the optimizer's
    activations: int  # what autograd has saved for the backward pass and not yet used, without the batch
    input: int  # images and labels of the batch
    transient: int  # feature maps and their gradients in passing, and what the optimizer computes with
    training_bytes: int  # the peak of the training steps alone, without the evaluation
    saved_bytes: int  # all that autograd has saved at the end of a forward pass, the batch included

    @property
    def peak_bytes(self) -> int:
        """The sum of the parts."""
        return sum(getattr(self, part) for part in PARTS)


def large_allowance(peak_bytes: int) -> float:
    """Return the most bytes that a process is expected to need beside tensors of this size: context, workspaces."""
    return CONTEXT_BYTES + LARGE_SHARE * peak_bytes


def verdict(peak_bytes: int, card: float | None) -> str | None:
    """Say whether tensors fit a card (bytes): `fits` with the large allowance, `out of memory` even without any."""
    if card is None:
        return None
    fits = peak_bytes + large_allowance(peak_bytes) <= card
    return FITS if fits else UNSURE if peak_bytes <= card else OUT_OF_MEMORY


def training_batch(experiment: "Experiment") -> int:
    """Return the images of the largest training batch; a subset may be smaller than the batch asked for."""
    images = experiment.train_images
    return experiment.batch_size if images == "all" else min(experiment.batch_size, images)


def evaluation_batch(experiment: "Experiment") -> int:
    """Return the images of the largest batch of an evaluation."""
    counts = (experiment.test_images_epoch, experiment.test_images_last)
    return max(EVALUATION_BATCH if count == "all" else min(EVALUATION_BATCH, count) for count in counts)


def parameter_count(stem: str, width: int, classes: int = 10) -> int:
    """Return the number of trainable parameters: 11,181,642 at width 64 and 10 classes with the ImageNet stem."""

    def convolution(channels_in: int, channels: int, side: int) -> int:  # without bias, and its batch norm
        return channels_in * channels * side**2 + 2 * channels

    count = convolution(3, width, 7 if stem == "imagenet" else 3) + 4 * convolution(width, width, 3)
    for half in (width, 2 * width, 4 * width):
        count += (
            convolution(half, 2 * half, 1) + convolution(half, 2 * half, 3) + 3 * convolution(2 * half, 2 * half, 3)
        )
    return count + 8 * width * classes + classes


def saved_bytes_per_image(stem: str, width: int, image_size: int, classes: int = 10) -> int:
    """Return the bytes that autograd saves of one image, from the network's input to its cross entropy.

    Saved are the inputs of convolutions and batch norms and the outputs of ReLUs, which are the next layer's input; of
    the max pool also the chosen positions; of the head the mean, the logarithms of the probabilities and the label.
    """
    half = (image_size + 1) // 2
    side, stem_side = ((half + 1) // 2, half) if stem == "imagenet" else (image_size, image_size)
    total = FLOAT * (3 * image_size**2 + 2 * width * stem_side**2)
    if stem == "imagenet":
        total += (FLOAT + LONG) * width * side**2
    # Two blocks of two convolutions, each with its sum and its ReLU; the later stages' shortcut convolves too.
    for stage, maps in enumerate((8, 9, 9, 9)):
        total += FLOAT * maps * (width << stage) * side**2
        side = (side + 1) // 2
    return total + FLOAT * (8 * width + classes) + LONG


def least_training_bytes(experiment: "Experiment") -> int:
    """Return a lower bound of the memory of a training step, in bytes.

    Weights and state, and the larger of what is saved when the forward pass ends and gradients when the backward does.
    """
    weights = FLOAT * parameter_count(experiment.stem, experiment.width)
    saved = experiment.batch_size * saved_bytes_per_image(experiment.stem, experiment.width, experiment.image_size)
    return weights * (1 + experiment.optimizer.state_tensors) + max(weights, saved)
