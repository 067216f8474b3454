"""A record that was changed in any way is refused by its name, or means what it says; soon, and in little memory."""

import contextlib
import json
import math
import random
import time
import tracemalloc
from collections import Counter
from copy import deepcopy
from pathlib import Path

from builders import (
    RESUMED,
    changed,
    fitting,
    make_benchmark,
    make_curve,
    make_epoch,
    make_experiment,
    make_record,
    under,
)
from reports import record_all, text_of

from resnet18.records.content import file_name, parse_record, record_hash, result_hash, seal
from resnet18.records.record import Record, RecordSpec
from resnet18.records.store import Store
from resnet18.spec.errors import IntegrityError
from resnet18.spec.identity import ids_of
from resnet18.spec.load import load_benchmarks
from resnet18.spec.resolve import Request
from resnet18.tables.metrics import FROM_CURVES, FROM_RECORDS, value_of

TWICE = "\u0001"
"""Ends a key that stands there a second time."""


class Raw(str):
    """What JSON gets as it is."""

    __slots__ = ()


NUMBERS = [0, -1, 1, 2, 0.5, 1e-300, 1e38, 1e308, -1e308, 2**53, 2**53 + 1, 2**64, 10**400, *(-0.0, 1.0, 10**15)]
RAWS = ["NaN", "-Infinity", "1e999", "9" * 400, "0." + "3" * 400, "9" * 5_000, "[" * 70 + "]" * 70, "[" * 10**5, ""]
TEXTS = ["", "unknown", "x" * 20_000, "\ud800", "\x1b[2J\r\n", "</script><img src=x onerror=alert(1)>", "| a |\n| - |"]
TEXTS += ["cuda", "ok", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59+00:00", "2026-02-30T00:00:00Z", "2026-01-01", "=1"]
OTHERS = [None, True, False, [], {}, [0] * 20_000, [[0]] * 500, [{}] * 20_000, {"a": {"b": [1.0, None]}}]


def near(value, rng):
    """A value of the same kind that is a little different."""
    if isinstance(value, bool) or value is None:
        return rng.choice([not value, 0, 1])
    if isinstance(value, int | float):
        return rng.choice([value + 1, value - 1, 2 * value, -value, 1.5 * value, float(value), str(value)])
    if isinstance(value, str):
        return rng.choice([value[:-1], value + value[-1:], value.upper(), value.replace("2", "3", 1), f" {value}"])
    items = list(value) if isinstance(value, list) else list(value.items())
    rng.shuffle(items)
    items = rng.choice([items, items[:-1], items + items[:1], items * 20])
    return items if isinstance(value, list) else dict(items)


def mutate(content, rng):
    """Change one thing in a JSON content: a value, a type, a length, a key."""
    container, key = content, rng.choice(list(content))
    while container[key] and isinstance(container[key], dict | list) and rng.random() < 0.9:
        container = container[key]
        key = rng.choice(list(container) if isinstance(container, dict) else range(len(container)))
    match rng.randrange(8):
        case 0:
            container[key] = deepcopy(rng.choice(OTHERS))
        case 1:
            container[key] = rng.choice(NUMBERS)
        case 2:
            container[key] = Raw(rng.choice(RAWS))
        case 3:
            container[key] = rng.choice(TEXTS)
        case 4 if isinstance(container, dict):
            container[f"{key}{rng.choice([TWICE, 'x', 'x' * 20_000])}"] = container[key]
        case 5:
            del container[key]
        case _:
            container[key] = near(container[key], rng)


def written(value):
    """JSON, with keys that stand there twice and values that are none."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(key.removesuffix(TWICE))}:{written(one)}' for key, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    return value if isinstance(value, Raw) else json.dumps(value)


def mutated(record, rng):
    """Name and bytes of a changed record: sealed again where it can be, half of them with their result and ids."""
    content = record.model_dump(mode="json")
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        mutate(content, rng)
    name = file_name(record.run_id, record.attempt)
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError, IndexError):
        if rng.random() < 0.5:
            spec = RecordSpec.model_validate(json.loads(written(content["spec"])))
            content |= ids_of(spec.experiment, spec.execution)._asdict() | {"seed": spec.experiment.seed}
            name = file_name(content["run_id"], int(content["attempt"]))
            read = Record.model_validate(json.loads(written(content)))
            content["result_hash"] = read.confusion and result_hash(read.epochs, read.confusion, read.summary)
    with contextlib.suppress(ValueError, RecursionError):
        content["record_hash"] = record_hash(json.loads(written(content)))
    return name, written(content).encode()


def good_records(folder):
    """Committed records, and others: resumed, disturbed on a GPU, broken off, out of memory, of many epochs."""
    committed = Store(Path(__file__).parents[1] / "results").read().records[2:6:3]
    mine = make_benchmark(folder)
    first, second = (fitting(record) for record in record_all([mine], Request(), epochs=lambda _: make_curve(50, 60)))
    clocks = {"gpu_clock_mhz": (900, 1000, 1000), "gpu_throttle": ["HwSlowdown"], "cpus": 2, "cpu_others_share": 0.9}
    specs = first.spec.experiment, first.spec.execution
    return [mine, *load_benchmarks(("optimizer",))], [
        *(*committed, changed(first, **RESUMED), under(second, **clocks)),
        fitting(make_record(*specs, request=Request(), status="interrupted", epochs=(make_epoch(1),))),
        make_record(*specs, request=Request(), status="oom_device"),
        make_record(make_experiment(epochs=20), epochs=tuple(make_epoch(at) for at in range(1, 21))),
    ]


def assert_it_means_what_it_says(record, benchmarks):
    """It reads back as it is, every figure of it is a number, and a report shows it."""
    again = seal(record.model_dump(mode="json"))
    text = json.dumps(again.model_dump(mode="json")).encode()

    assert again == parse_record(text, file_name(record.run_id, record.attempt))
    scores = [score for epoch in record.epochs for score in (epoch.train, epoch.as_published, epoch.clean)]
    assert all(0 <= score.accuracy <= 1 for score in scores)
    for metric in {*FROM_RECORDS, *FROM_CURVES} if record.status == "ok" else ():
        value = value_of(metric, record, *([50.0] if metric == "epochs_to_level" else []))
        assert value is None or math.isfinite(value) or (metric, value) == ("epochs_to_level", math.inf)
    text_of(benchmarks, [record])


def test_a_changed_record_is_refused_by_its_name_or_means_what_it_says(tmp_path, request):
    """Each in less than two seconds and 300 MB."""
    benchmarks, records = good_records(tmp_path)
    ends, worst_s, worst_bytes = Counter(), 0.0, 0
    is_long = request.config.getoption("--soak")
    if is_long:  # it doubles the time
        tracemalloc.start()
    for seed in range(2_000 if is_long else 200):
        rng = random.Random(seed)  # noqa: S311 - no secret is made of it
        name, content = mutated(records[seed % len(records)], rng)
        tracemalloc.reset_peak() if is_long else None
        start_s = time.process_time()
        try:
            record = parse_record(content, name)
        except IntegrityError as error:
            ends["refused" if name == error.where and len(str(error)) < 1_000 else "badly refused"] += 1
        else:
            ends["accepted"] += 1
            assert_it_means_what_it_says(record, benchmarks)
        worst_s = max(worst_s, time.process_time() - start_s)
        worst_bytes = max(worst_bytes, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    print(dict(ends), f"at most {worst_s:.2f} s and {worst_bytes / 1e6:.0f} MB")  # noqa: T201 - `make soak` shows it

    assert {"refused", "accepted"} == ends.keys()
    assert (True, True) == (worst_s < 2, worst_bytes < 300e6)
