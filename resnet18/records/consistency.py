"""What must agree in a record beyond its types: with its spec, and with itself. Only what every honest record keeps.

The order is that of `contradictions`: later rules take for granted what earlier ones say.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain
from math import isclose

from resnet18.records.record import Epoch, Record
from resnet18.spec.experiment import LAST_EPOCHS, Experiment

OUTPUTS = 10  # of the network, whatever the number of classes
SAMPLES = 6
MOST_ATTEMPTS = 999_999
SCOPES = ("train_s", "data_wait_s", "statistics_s", "eval_as_published_s", "eval_clean_s")
MOST_RATES = 200
"""Epochs whose learning rate is computed again: that of one schedule takes as long as the epochs before are many."""
ROUNDING = 1e-9
"""Relative, of sums and cosines: another processor may round otherwise."""
WHOLE = ("threads", "interop_threads", "gpu_memory_bytes")


def contradictions(record: Record) -> Iterator[str]:
    """Yield what cannot be in a record, key first; nothing where the suite can have written it."""
    yield from of_epochs(record.epochs, record.spec.experiment)
    for rules in (_ending, _circumstances, _times, _result):
        yield from (text for text, holds in rules(record).items() if not holds)


def of_epochs(epochs: Sequence[Epoch], experiment: Experiment) -> Iterator[str]:
    """Yield what cannot be in the epochs of an experiment, or in the first of them."""
    if [epoch.epoch for epoch in epochs] != [*range(1, len(epochs) + 1)] or len(epochs) > experiment.epochs:
        yield f"epochs: are not numbered from 1 on without a gap, to {experiment.epochs} at most"
        return
    sizes = {"train": experiment.train_images, "epoch": experiment.test_images_epoch}
    sizes["last"] = experiment.test_images_last
    images = {key: size for key, size in sizes.items() if size != "all"}
    lr, every = experiment.optimizer.lr, 1 + len(epochs) // MOST_RATES
    for epoch in epochs:
        split = "last" if epoch.epoch > experiment.epochs - LAST_EPOCHS else "epoch"
        trained = images.setdefault("train", epoch.train.images)
        tested = images.setdefault(split, epoch.clean.images)
        steps = -(-trained // experiment.batch_size)
        rate = epoch.learning_rate
        if epoch.epoch % every == 0:
            rate = experiment.schedule.rate(lr, epoch.epoch * steps - 1, steps, experiment.epochs)
        scores = {trained: (epoch.train,), tested: (epoch.as_published, epoch.clean)}
        rules = {
            "images: are not as many as its spec asks for, or as the epochs before had": trained == epoch.train.images
            and tested == epoch.as_published.images == epoch.clean.images,
            "correct: more images than there are": all(s.correct <= s.images for s in chain(*scores.values())),
            "steps: are not those of its images and batch size": epoch.steps == steps,
            "learning_rate: is not that of the schedule": isclose(
                rate, epoch.learning_rate, rel_tol=ROUNDING, abs_tol=ROUNDING * lr
            ),
            "data_wait_s: is more than train_s, of which it is part": epoch.data_wait_s <= epoch.train_s,
        }
        yield from (f"epochs.{epoch.epoch}.{text}" for text, holds in rules.items() if not holds)


def _ending(record: Record) -> dict[str, bool]:
    """Return what the status says of the other keys, each with whether it holds."""
    result = record.confusion, record.samples, record.summary, record.result_hash
    around = record.classes, record.parameters, record.fingerprint.numerics, record.fingerprint.identity.data_sha256
    is_ok, has_result = record.status == "ok", None not in result
    return {
        "failure: must be there unless the status is ok": is_ok == (record.failure is None),
        "result_hash: confusion, samples, summary and result_hash are there together": has_result
        or not any(part is not None for part in result),
        "status: ok without a result, classes, parameters, numerics or data hash": not is_ok
        or (has_result and None not in around),
        "epochs: are fewer than the spec's, and there is a result": not has_result
        or len(record.epochs) == record.spec.experiment.epochs,
        "flags: no_learning without a result": has_result or "no_learning" not in record.flags,
    }


def _circumstances(record: Record) -> dict[str, bool]:
    """Return what the attempt, its stretches and its machine must be like, each with whether it holds."""
    moments = [datetime.fromisoformat(text) for part in record.segments for text in (part.start, part.end)]
    numerics, asked = record.fingerprint.numerics or {}, record.spec.execution.device.partition(":")[0]
    clocks = (record.conditions and record.conditions.gpu_clock_mhz) or ()
    classes = record.classes or ("a", "b")
    return {
        f"attempt: above {MOST_ATTEMPTS:,}": record.attempt <= MOST_ATTEMPTS,
        "flags: one of them is there twice": len(set(record.flags)) == len(record.flags),
        "segments: must be in order, each with its start before its end": bool(moments) and moments == sorted(moments),
        "flags: resumed and several segments go together": ("resumed" in record.flags) == (len(record.segments) > 1),
        "classes: must be 2 to 10 different ones": 2 <= len(classes) <= OUTPUTS and len({*classes}) == len(classes),
        "fingerprint.numerics.device: is not that of the spec": asked in {"auto", numerics.get("device", asked)},
        f"fingerprint.numerics: {', '.join(WHOLE)} must be whole numbers above 0": all(
            type(value := numerics.get(key, 1)) is int and value > 0 for key in WHOLE
        ),
        "conditions.gpu_clock_mhz: must be the lowest, median and highest": [*clocks] == sorted(clocks),
    }


def _times(record: Record) -> dict[str, bool]:
    """Return how seconds must add up, each with whether they do; an epoch that broke off counts in the sums alone."""
    rules, time = dict[str, bool](), record.time
    for scope in SCOPES if record.epochs else ():
        parts, total = [getattr(epoch, scope) for epoch in record.epochs], getattr(time, scope)
        added = None if None in parts else sum(parts)
        fits = added == total if added is None or total is None else isclose(added, total, rel_tol=ROUNDING)
        is_longer = record.status != "ok" and added is not None and total is not None and total > added
        rules[f"time.{scope}: is not the sum over the epochs"] = fits or is_longer
    inside = sum(value or 0.0 for key, value in time.model_dump(exclude={"wall_s", "data_wait_s"}).items())
    return {**rules, "time.wall_s: is less than what it contains": inside <= time.wall_s * (1 + ROUNDING) + ROUNDING}


def _result(record: Record) -> dict[str, bool]:
    """Return what confusion and samples must be like, each with whether it holds."""
    rows, samples = record.confusion, record.samples
    if rows is None or samples is None or record.classes is None:
        return {}
    right, last = sum(row[label] for label, row in enumerate(rows) if label < len(row)), record.epochs[-1].clean
    counts = {(label, guess): count for label, row in enumerate(rows) for guess, count in enumerate(row)}
    return {
        f"confusion: must have a row of {OUTPUTS} counts for each class": [len(row) for row in rows]
        == [OUTPUTS] * len(record.classes),
        "confusion: its counts are not those of the last epoch": (right, sum(map(sum, rows)))
        == (last.correct, last.images),
        f"samples: must be {SAMPLES} that confusion counts": len(samples) == SAMPLES
        and all(counts.get((sample.label, sample.prediction)) for sample in samples),
    }
