"""Runs that nobody trains: benchmarks of any size, and records as their workers would have left them."""

import json
from dataclasses import asdict
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from resnet18.records.build import build_record
from resnet18.records.hashes import record_hash, result_hash
from resnet18.records.parse import file_name
from resnet18.records.record import Epoch, Identity, Outcome, RecordSpec, Score, Segment
from resnet18.records.store import Store
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.experiment import Execution
from resnet18.spec.identity import code_hash, digest
from resnet18.spec.load import load_benchmark, load_benchmarks
from resnet18.spec.plan import Plan, plan
from resnet18.spec.resolve import Request

SEEDS = 50
EPOCHS = 10
"""Of each record, whatever its run asked for."""
REQUEST = Request("small")
IDENTITY = Identity(code_hash=code_hash(), commit="0" * 40, dirty=False, data_sha256="d" * 64)
DEVICES = {"cpu": 1, "cuda": 8}
"""Of the machine that plans the lab's tables: no case is left out."""

HEAD = """
title = "Many learning rates"
source = "made up"
question = "Which is best?"

[table]
cases_in = "rows"
case_title = "Learning rate"
metrics = [{ metric = "best_accuracy", title = "Accuracy" }, { metric = "whole_program_s", title = "Time" }]

[experiment]
model = "resnet18"
stem = "imagenet"
image_size = 32
epochs = 10
batch_size = 64
schedule = { name = "constant" }
augmentation = [{ name = "to_tensor" }]
"""
CASE = """
[[case]]
name = "lr {0}"
experiment = {{ optimizer = {{ name = "sgd", lr = {0} }} }}
"""
CLAIM = """
[[claim]]
id = "C{0}"
says = "{1} beats {2}"
check = [{{ kind = "greater", metric = "last_clean_accuracy", case = "{1}", than = "{2}" }}]
"""


def text(cases: int) -> str:
    """Return a TOML file of so many cases, with a claim on every pair of neighbours."""
    rates = [f"{0.001 * number:.3f}" for number in range(1, cases + 1)]
    claims = [
        CLAIM.format(number, f"lr {one}", f"lr {other}") for number, (one, other) in enumerate(pairwise(rates), 1)
    ]
    return "".join([HEAD, *map(CASE.format, rates), *claims])


def one_table(folder: Path, runs: int) -> tuple[tuple[Benchmark, ...], Plan]:
    """Return a table of so many runs, of 50 seeds each case, and their plan."""
    path = folder / "many.toml"
    path.write_text(text(runs // SEEDS), encoding="utf-8")
    benchmarks = (load_benchmark(path),)
    return benchmarks, plan(benchmarks, REQUEST, range(SEEDS), DEVICES)


def lab_tables(_: Path, runs: int) -> tuple[tuple[Benchmark, ...], Plan]:
    """Return the lab's tables and a plan of at least so many runs: more seeds of the same cases."""
    benchmarks = load_benchmarks()
    of_a_seed = len(plan(benchmarks, REQUEST, range(1), DEVICES).runs)
    return benchmarks, plan(benchmarks, REQUEST, range(-(-runs // of_a_seed)), DEVICES)


WORKLOADS = {"one table": one_table, "the lab's tables": lab_tables}


@cache
def template() -> dict[str, Any]:
    """Return the content of a record of ten epochs, as JSON has it."""
    score = Score(loss=1.0, correct=600, images=1_000)
    epochs = tuple(
        Epoch(number, 0.01, 79, score, score, score, 20.0, 0.5, 0.1, 1.0, 1.0) for number in range(1, EPOCHS + 1)
    )
    confusion = tuple(tuple(60 if row == column else 4 for column in range(10)) for row in range(10))
    outcome = Outcome(parameters_sha256="a" * 64, predictions_sha256="b" * 64)
    _, planned = lab_tables(Path(), 1)
    times = ("prepare_s", "train_s", "data_wait_s", "statistics_s", "eval_as_published_s", "eval_clean_s")
    record = build_record(
        spec=RecordSpec(experiment=planned.runs[0].experiment, execution=Execution(), overrides=(), assumptions=()),
        scale=REQUEST.scale,
        attempt=1,
        status="ok",
        identity=IDENTITY,
        segments=(Segment(start="2026-01-01T00:00:00+00:00", end="2026-01-01T00:04:00+00:00"),),
        facts={
            "time": dict.fromkeys(times, 2.0) | {"wall_s": 240.0, "checkpoint_s": 0.0},
            "memory": {"rss_peak_bytes": 1 << 30},
            "numerics": {"torch": "2.14.1", "cpu_model": "a processor", "threads": 1},
            "epochs": [asdict(epoch) for epoch in epochs],
            "confusion": confusion,
            "classes": [f"class {number}" for number in range(10)],
            "parameters": 11_181_642,
            "outcome": outcome.model_dump(),
            "result_hash": result_hash(epochs, confusion, outcome),
        },
        reasons={},
    )
    content: dict[str, Any] = json.loads(record.model_dump_json())
    return content


def record_of(spec: dict[str, Any], attempt: int, identity: dict[str, Any]) -> tuple[str, bytes]:
    """Return a run's id, and the record of an attempt at it that went well, as a worker writes it.

    Args:
        spec: of the run, as a job has it.
        attempt: its number.
        identity: of the code and the data.
    """
    content = dict(template())
    experiment = spec["experiment"]
    experiment_id, execution_id = digest(experiment)[:16], digest(spec["execution"])[:16]
    run = digest([experiment_id, execution_id])[:16]
    arm = {key: one for key, one in experiment.items() if key != "seed"}
    drawn = int(run[:8], 16)  # a number of the run's own, the same whenever it is asked for
    epochs = [dict(one, clean=dict(one["clean"], correct=600 + drawn % 97)) for one in content["epochs"]]
    content |= {
        "run_id": run,
        "arm_id": digest([arm, execution_id])[:16],
        "experiment_id": experiment_id,
        "execution_id": execution_id,
        "attempt": attempt,
        "seed": experiment["seed"],
        "spec": spec,
        "fingerprint": {**content["fingerprint"], "identity": identity},
        "epochs": epochs,
        "time": {**content["time"], "train_s": 100.0 + drawn % 89},
        "result_hash": digest([epochs, run]),
    }
    content["record_hash"] = record_hash(content)
    return run, (json.dumps(content, indent=1) + "\n").encode()


def answer_to(job: str) -> tuple[str, bytes]:
    """Return a job's run id, and the record that carrying it out would have left."""
    asked = json.loads(job)
    return record_of(asked["spec"], asked["attempt"], asked["identity"])


def fill(store: Store, planned: Plan) -> None:
    """Record every run of a plan, unsynced: it is what is read that counts."""
    store.make_writable()
    for run in planned.runs:
        spec = RecordSpec(
            experiment=run.experiment, execution=run.execution, overrides=REQUEST.overrides, assumptions=run.assumptions
        )
        run_id, content = record_of(spec.model_dump(mode="json"), 1, IDENTITY.model_dump())
        (store.folder / file_name(run_id, 1)).write_bytes(content)
