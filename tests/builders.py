"""Small valid objects for tests; every argument changes one thing."""

import functools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from resnet18.records.consistency import SCOPES
from resnet18.records.content import build_record, result_hash, seal
from resnet18.records.record import Conditions, Epoch, Identity, Record, RecordSpec, Score, Segment, Summary
from resnet18.records.store import Store
from resnet18.spec.benchmark import Benchmark, Case
from resnet18.spec.experiment import DataSource, Execution, Experiment, parse_data
from resnet18.spec.identity import ids_of
from resnet18.spec.load import load_benchmark
from resnet18.spec.plan import Run
from resnet18.spec.resolve import Request
from resnet18.tables.selection import CaseRecords

TINY = (
    "train_images=40",
    "test_images_epoch=20",
    "test_images_last=20",
    "width=2",
    "epochs=1",
    "threads=1",
)
"""Options that make any case of the suite run in a moment."""

SIZES = ("requested_bytes", "free_bytes")

TINY_ARGUMENTS = [word for option in TINY for word in ("-o", option)]

OPTIMIZERS = [
    {"name": "sgd", "lr": 0.01},
    {"name": "sgd", "lr": 0.01, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1},
    {"name": "sgd", "lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    {"name": "adam", "lr": 1e-5},
    {"name": "adam", "lr": 1e-5, "weight_decay": 0.1},
    {"name": "adamw", "lr": 1e-5, "weight_decay": 0.5},
    {"name": "rmsprop", "lr": 1e-6},
    {"name": "rmsprop", "lr": 1e-6, "momentum": 0.9, "weight_decay": 0.1},
    {"name": "adadelta", "lr": 1e-3, "weight_decay": 0.1},
    {"name": "asgd", "lr": 0.01},
    {"name": "asgd", "lr": 0.01, "lambd": 0.1, "t0": 2.0, "weight_decay": 0.1},
]
"""Every optimizer, with and without what it may keep of a parameter and a decay that moves all weights."""

TOML = """
title = "A table"
source = "a report, section 1"
question = "Which is better?"

[table]
cases_in = "columns"
case_title = "Batch"
metrics = [{ metric = "best_accuracy", title = "Accuracy" }, { metric = "whole_program_s", title = "Time" }]

[experiment]
model = "resnet18"
stem = "imagenet"
image_size = 32
epochs = 2
optimizer = { name = "sgd", lr = 0.01 }
schedule = { name = "constant" }
augmentation = [{ name = "to_tensor" }]

[[case]]
name = "8"
experiment = { batch_size = 8 }
reported = { best_accuracy = "70%", whole_program_s = "12.5" }

[[case]]
name = "16"
experiment = { batch_size = 16 }
reported = { best_accuracy = "Out of Memory", whole_program_s = "Out of Memory" }
"""

DOCUMENTED = """
title = "Another table"
source = "a fictional report, Table 2"
question = "Which is best?"
[table]
cases_in = "rows"
case_title = "Case"
metrics = [{ metric = "score", title = "Score", quantity = "accuracy" }]
[[case]]
name = "a"
factors = { dropout = 0, depth = 1 }
reported = { score = "70.0%" }
[[case]]
name = "b"
factors = { dropout = 1, depth = 1 }
reported = { score = "80.0%" }
"""
"""A report that is written down, and cannot be run."""


def claims_toml(*checks: str) -> str:
    """Claims X1, X2 and so on, each with its checks."""
    return "".join(f'[[claim]]\nid = "X{at}"\nsays = "it is so"\ncheck = [{one}]\n' for at, one in enumerate(checks, 1))


def make_experiment(**changes: Any) -> Experiment:
    values: dict[str, Any] = {
        "data": "fashion-mnist-mini",
        "train_images": 40,
        "test_images_epoch": 20,
        "test_images_last": 20,
        "image_size": 32,
        "augmentation": [{"name": "to_tensor"}],
        "test_augmentation": [{"name": "to_tensor"}],
        "model": "resnet18",
        "stem": "imagenet",
        "width": 2,
        "optimizer": {"name": "sgd", "lr": 0.01},
        "schedule": {"name": "constant"},
        "batch_size": 16,
        "epochs": 1,
        "seed": 0,
    }
    return Experiment.model_validate({**values, **changes})


def make_toml(folder: Path, text: str = TOML, name: str = "mine") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def make_benchmark(folder: Path, text: str = TOML) -> Benchmark:
    return load_benchmark(make_toml(folder, text))


def make_epoch(number: int, correct: int = 10, published: int | None = None, **changes: Any) -> Epoch:
    values: dict[str, Any] = {
        "epoch": number,
        "learning_rate": 0.01,
        "steps": 3,
        "train": Score(loss=2.0, correct=15, images=40),
        "as_published": Score(loss=2.1, correct=correct if published is None else published, images=20),
        "clean": Score(loss=2.2, correct=correct, images=20),
        "train_s": 1.0,
        "data_wait_s": 0.25,
        "statistics_s": 0.5,
        "eval_as_published_s": 0.125,
        "eval_clean_s": 4.0,
    }
    return Epoch(**{**values, **changes})


def make_curve(*percents: float, **changes: Any) -> tuple[Epoch, ...]:
    """An epoch for each accuracy, in percent of 100,000 images."""
    scores = [Score(loss=2.0, correct=round(1000 * percent), images=100_000) for percent in percents]
    return tuple(make_epoch(at, clean=score, as_published=score, **changes) for at, score in enumerate(scores, 1))


def make_losses(*losses: tuple[float, float], last_images: int = 20) -> tuple[Epoch, ...]:
    """An epoch for each training and clean test loss; those as published are 0.1 higher."""
    epochs = []
    for at, (train_loss, clean_loss) in enumerate(losses, 1):
        train = Score(loss=train_loss, correct=38, images=40)
        clean = Score(loss=clean_loss, correct=10, images=last_images if at == len(losses) else 20)
        published = replace(clean, loss=clean_loss + 0.1)
        epochs.append(make_epoch(at, train=train, clean=clean, as_published=published))
    return tuple(epochs)


def make_result(epochs: tuple[Epoch, ...]) -> dict[str, Any]:
    """What a record says of a network that took all it got wrong for a dog, under the record's own keys."""
    last = epochs[-1].clean
    cats, wrong = (last.correct + 1) // 2, last.images - last.correct
    confusion = ((cats, wrong, *[0] * 8), (0, last.correct - cats, *[0] * 8), *[(0,) * 10] * 8)
    summary = Summary(parameters_sha256="a" * 64, predictions_sha256="b" * 64)
    return {
        "classes": ("cat", "dog", *"cdefghij"),
        "parameters": 1000,
        "confusion": confusion,
        "samples": [{"index": at, "label": 0, "prediction": int(not cats)} for at in range(6)],
        "summary": summary,
        "result_hash": result_hash(epochs, confusion, summary),
    }


def make_time(epochs: tuple[Epoch, ...]) -> dict[str, Any]:
    parts = {key: [getattr(epoch, key) for epoch in epochs] for key in SCOPES if epochs}
    sums = {key: None if None in found else sum(found) for key, found in parts.items()}
    return sums | {"wall_s": max(9.0, sum(value or 0.0 for key, value in sums.items() if key != "data_wait_s"))}


def make_identity(data: str | None = "d" * 64, **changes: Any) -> Identity:
    values = {"code_hash": "c" * 64, "shared_code_hash": "5" * 64, "commit": None, "dirty": None}
    return Identity(**{**values, "data_sha256": data, **changes})


def make_record(
    experiment: Experiment | None = None,
    execution: Execution | None = None,
    *,
    request: Request | None = None,
    attempt: int = 1,
    status: str = "ok",
    epochs: tuple[Epoch, ...] = (),
    code: str = "c" * 64,
    shared_code: str = "5" * 64,
    data: str = "d" * 64,
    cpu: str = "a processor",
    numerics: dict[str, Any] | None = None,
    **identity: Any,
) -> Record:
    experiment = experiment or make_experiment()
    request = request or Request(data=experiment.data)
    facts: dict[str, Any] = {"failure": {"phase": "prepare", "message": "a bug", **dict.fromkeys(SIZES)}}
    if status == "ok":
        epochs = epochs or tuple(make_epoch(at) for at in range(1, experiment.epochs + 1))
        threads = execution.threads if execution and execution.threads != "auto" else 2
        numerics = {"torch": "2.14.1", "cpu_model": cpu, "threads": threads, **(numerics or {})}
        facts = {"numerics": numerics, "epochs": epochs, **make_result(epochs)}
    facts["time"] = make_time(epochs)
    facts |= {"scale": request.scale, "attempt": attempt, "status": status}
    facts["segments"] = (Segment(start="2026-01-01T00:00:00+00:00", end="2026-01-01T00:00:09+00:00"),)
    spec = {"experiment": experiment, "execution": execution or Execution(), "overrides": request.overrides}
    made_by = make_identity(data, code_hash=code, shared_code_hash=shared_code, **identity)
    return build_record(RecordSpec(**spec, assumptions=()), made_by, facts)


def make_run(experiment: Experiment | None = None, execution: Execution | None = None, **changes: Any) -> Run:
    spec = (experiment or make_experiment(), execution or Execution())
    values = {"labels": ("mine/8",), "assumptions": (), "may_run_out_of_memory": False, **changes}
    return Run(*ids_of(*spec)[:2], *spec, **values)


def make_job(results: Path, run: Run | None = None, source: DataSource | None = None, **changes: Any) -> Any:
    """A first attempt, on the data that are embedded."""
    from resnet18.execution.job import Job  # noqa: PLC0415 - numpy, which most tests do without

    source = source or parse_data("fashion-mnist-mini")
    values = {"identity": make_identity(embedded().sha256), "request": Request(data=source.label), **changes}
    return Job(run=run or make_run(), source=source, results=results, **values)


def changed(record: Record, **changes: Any) -> Record:
    """The record with other content, sealed again; a dictionary is laid over the one that is there."""
    content = json.loads(record.model_dump_json())
    for key, value in changes.items():
        known = {key}
        if isinstance(value, dict) and content[key]:
            content[key].update(value)
            known = {f"{key}.{part}" for part in value}
        else:
            content[key] = value
        content["nulls"] = {one: why for one, why in content["nulls"].items() if one not in known}
    return seal(content)


def fitting(record: Record) -> Record:
    """The record with the epochs that its spec asks for, of its accuracies: those that are added take no time."""
    spec, epochs = record.spec.experiment, list[Epoch]()
    for at in range(1, spec.epochs + 1) if record.epochs else ():
        known = record.epochs[min(at, len(record.epochs)) - 1]
        tested = spec.test_images_last if at > spec.epochs - 3 else spec.test_images_epoch
        asked = {"train": spec.train_images, "as_published": tested, "clean": tested}
        sizes = {key: 1_000 if size == "all" else size for key, size in asked.items()}
        changes: dict[str, Any] = {
            key: Score(getattr(known, key).loss, round(getattr(known, key).accuracy * size), size)
            for key, size in sizes.items()
        }
        changes |= {} if at <= len(record.epochs) else dict.fromkeys(SCOPES, 0.0)
        steps = -(-sizes["train"] // spec.batch_size)
        rate = spec.schedule.rate(spec.optimizer.lr, at * steps - 1, steps, spec.epochs)
        epochs.append(replace(known, epoch=at, steps=steps, learning_rate=rate, **changes))
    result = make_result(tuple(epochs)) if record.status == "ok" else {}
    return changed(record, epochs=tuple(epochs), time=make_time(tuple(epochs)), **result)


RESUMED = {
    "flags": ["resumed"],
    "segments": [{"start": f"2026-01-0{day}T00:00:00Z", "end": f"2026-01-0{day}T00:00:09Z"} for day in (1, 2)],
}
"""Two stretches of work, a day apart, under a record's own keys."""


def under(record: Record, **conditions: Any) -> Record:
    """The record as if made under these conditions; all others are unknown."""
    unknown = {f"conditions.{key}": "unknown" for key in Conditions.model_fields if key not in conditions}
    values = dict.fromkeys(Conditions.model_fields) | conditions
    return changed(record, nulls=record.nulls | unknown, conditions=values)


def make_store(folder: Path, *records: Record) -> Store:
    store = Store(folder)
    store.make_writable()
    for record in records:
        store.save(record)
    return store


def make_case(name: str, records: tuple[Record, ...], experiment: Experiment | None = None) -> CaseRecords:
    """A case with its records. The name may be any, unlike one that a TOML file gives."""
    experiment = experiment or (records[0].spec.experiment if records else make_experiment())
    case = Case.model_construct(name=name, reported={})
    return CaseRecords(case, experiment, Execution(), ids_of(experiment, Execution()).arm_id, records, None)


@functools.cache
def embedded() -> Any:
    """The data set that the package carries."""
    from resnet18.data.dataset import read_embedded  # noqa: PLC0415 - numpy, which most tests do without

    return read_embedded()


def make_setup(execution: Execution | None = None, **changes: Any) -> Any:
    import torch  # noqa: PLC0415 - most tests do without

    from resnet18.training.setup import set_up  # noqa: PLC0415 - torch

    return set_up(make_experiment(**changes), execution or Execution(), embedded(), torch.device("cpu"))


def epochs_of(setup: Any, clock: Any = None) -> Iterator[Any]:
    """Train, and yield what each epoch gave; the positions between the steps are left out."""
    from resnet18.measure import Clock  # noqa: PLC0415 - torch, which most tests do without
    from resnet18.training.loop import train  # noqa: PLC0415 - the same

    return (one[0] for one in train(setup, clock or Clock(lambda: None)) if isinstance(one, tuple))
