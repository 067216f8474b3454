"""What must agree in a record beyond its types: with its spec, and with itself. Every honest record keeps all of it.

Each rule is what is wrong where it does not hold, key first. A rule may take those before it for granted.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain
from math import isclose

from resnet18.records.record import Epoch, Record
from resnet18.spec.errors import is_shown
from resnet18.spec.experiment import LAST_EPOCHS, Experiment

Rules = Iterator[tuple[str, bool]]
SCOPES = ("train_s", "data_wait_s", "statistics_s", "eval_as_published_s", "eval_clean_s")
MOST_RATES = 200  # epochs whose learning rate is computed again, which takes as long as the epochs before are many
ROUNDING = 1e-9  # relative, of sums and cosines: another processor may round otherwise
ON_GPU = ("allocated_", "reserved_", "device_", "process_peak_", "gpu_")
WHOLE = ("threads", "interop_threads", "gpu_memory_bytes")


def contradiction(record: Record) -> str | None:
    """Return what cannot be in a record; None where the suite can have written it."""
    of_record = _ending(record), _origin(record), _times(record), _result(record)
    return broken(of_epochs(record.epochs, record.spec.experiment), *of_record)


def broken(*rules: Rules) -> str | None:
    """Return the first rule that does not hold; those after it are not looked at."""
    return next((text for text, holds in chain(*rules) if not holds), None)


def of_epochs(epochs: Sequence[Epoch], experiment: Experiment) -> Rules:
    """Yield the rules for the epochs of an experiment, or for the first of them."""
    counted = [epoch.epoch for epoch in epochs] == [*range(1, len(epochs) + 1)]
    yield "epochs: must be numbered 1, 2, 3 and so on, up to the spec's", counted and len(epochs) <= experiment.epochs
    train, each, last = experiment.train_images, experiment.test_images_epoch, experiment.test_images_last
    seen, lr, every = dict[str, int](), experiment.optimizer.lr, 1 + len(epochs) // MOST_RATES
    for epoch in epochs:
        key, is_last = f"epochs.{epoch.epoch}", epoch.epoch > experiment.epochs - LAST_EPOCHS
        trained, tested, asked = epoch.train.images, epoch.clean.images, last if is_last else each
        whole = seen.setdefault("train", trained), seen.setdefault(f"{is_last}", tested)
        wanted = [all_ if size == "all" else size for size, all_ in zip((train, asked), whole, strict=True)]
        yield f"{key}.images: are others than the spec asks for, or than before", wanted == [trained, tested]
        yield f"{key}.as_published.images: are others than those of clean", epoch.as_published.images == tested
        hits = max(score.correct / score.images for score in (epoch.train, epoch.as_published, epoch.clean))
        yield f"{key}.correct: more images than there are", hits <= 1
        steps = -(-trained // experiment.batch_size)
        yield f"{key}.steps: are not those of its images and batch size", epoch.steps == steps
        yield f"{key}.data_wait_s: is more than train_s, of which it is part", epoch.data_wait_s <= epoch.train_s
        if epoch.epoch % every == 0:
            rate = experiment.schedule.rate(lr, epoch.epoch * steps - 1, steps, experiment.epochs)
            is_so = isclose(rate, epoch.learning_rate, rel_tol=ROUNDING, abs_tol=ROUNDING * lr)
            yield f"{key}.learning_rate: is not that of the schedule", is_so


def _ending(record: Record) -> Rules:
    """Yield what the status says of other keys."""
    result = record.confusion, record.samples, record.summary, record.result_hash
    around = record.classes, record.parameters, record.fingerprint.numerics, record.fingerprint.identity.data_sha256
    has_result, is_whole = None not in result, len(record.epochs) == record.spec.experiment.epochs
    yield "failure: must be there unless the status is ok", (record.status == "ok") == (record.failure is None)
    yield "result_hash: must be there with confusion, samples and summary", has_result or result == (None,) * 4
    yield "status: ok needs a result, classes, parameters, numerics and data", record.status != "ok" or has_result
    yield "nulls: a result needs classes, parameters, numerics and data", not has_result or None not in around
    yield "epochs: are fewer than the spec's, and there is a result", not has_result or is_whole
    yield "flags: no_learning needs a result", has_result or "no_learning" not in record.flags
    yield "flags: one of them is there twice", len({*record.flags}) == len(record.flags)
    yield "flags: resumed needs several segments", ("resumed" in record.flags) == (len(record.segments) > 1)


def _origin(record: Record) -> Rules:
    """Yield what is known of times, machine and data."""
    moments = [datetime.fromisoformat(text) for part in record.segments for text in (part.start, part.end)]
    yield "segments: must be in order, each with its start before its end", bool(moments) and moments == sorted(moments)
    numerics, execution = record.fingerprint.numerics or {}, record.spec.execution
    asked = {key: getattr(execution, key) for key in ("precision", "path", "memory_format", "deterministic", "threads")}
    for key, value in {**asked, "device": execution.device.partition(":")[0]}.items():
        found = numerics.get(key, value)
        is_asked = value == "auto" or (found == value and type(found) is type(value))
        yield f"fingerprint.numerics.{key}: is not that of the spec", is_asked
    for key in ("cpu_model", "gpu_model"):
        yield f"fingerprint.numerics.{key}: must be text", isinstance(numerics.get(key, ""), str)
    for key in WHOLE:
        value = numerics.get(key, 1)
        yield f"fingerprint.numerics.{key}: must be a whole number above 0", type(value) is int and value > 0
    if numerics.get("device", execution.device) == "cpu":
        of_gpu = {"energy_j": record.energy_j is not None, **_of_gpu("memory", record), **_of_gpu("conditions", record)}
        yield from ((f"{key}: is of a GPU, and the run was on the CPU", not known) for key, known in of_gpu.items())
    clocks = (record.conditions and record.conditions.gpu_clock_mhz) or ()
    yield "conditions.gpu_clock_mhz: must be the lowest, median and highest", [*clocks] == sorted(clocks)
    yield "classes: one of them is there twice", len({*(record.classes or ())}) == len(record.classes or ())
    named = all(is_shown(name) and 0 < len(name) <= 100 for name in record.classes or ())
    yield "classes: must have printable names of at most 100 letters", named


def _times(record: Record) -> Rules:
    """Yield how seconds add up; an epoch that broke off counts in the sums alone."""
    times, is_ok = record.time.model_dump(), record.status == "ok"
    for scope in SCOPES if record.epochs else ():
        parts, total = [getattr(epoch, scope) for epoch in record.epochs], times[scope]
        added = None if None in parts else sum(parts)
        if added is None or total is None:
            yield f"time.{scope}: is null where the epochs are not, or is not where they are", added == total
        else:
            fits = isclose(added, total, rel_tol=ROUNDING) or (total > added and not is_ok)
            yield f"time.{scope}: is not the sum over the epochs", fits
    inside = sum(seconds or 0.0 for key, seconds in times.items() if key not in {"wall_s", "data_wait_s"})
    yield "time.wall_s: is less than the times inside it", inside <= times["wall_s"] * (1 + ROUNDING) + ROUNDING


def _result(record: Record) -> Rules:
    """Yield how confusion and samples fit the last epoch."""
    if (rows := record.confusion) is None or record.samples is None:
        return
    yield "confusion: must have a row for each class", len(rows) == len(record.classes or ())
    counts, last = (sum(row[at] for at, row in enumerate(rows)), sum(map(sum, rows))), record.epochs[-1].clean
    yield "confusion: its counts are not those of the last epoch", counts == (last.correct, last.images)
    seen = [sample.label < len(rows) and rows[sample.label][sample.prediction] for sample in record.samples]
    yield "samples: must be among the counts of confusion", all(seen)
    indices = {sample.index for sample in record.samples}
    yield "samples: must be different images", len(indices) == min(len(record.samples), last.images)


def _of_gpu(part: str, record: Record) -> dict[str, bool]:
    """Return which values of a part of the record that only a GPU has are known."""
    values = getattr(record, part) or ()
    return {f"{part}.{key}": value is not None for key, value in values if key.startswith(ON_GPU)}
