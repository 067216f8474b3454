"""Planning 1,000 runs, rendering a report of 1,000 records, and what the runner adds to a run."""

import io
from itertools import islice
from time import perf_counter

from builders import TOML, make_benchmark, make_epoch, make_record
from rich.console import Console

from resnet18.data.dataset import read_embedded
from resnet18.execution.progress import Progress
from resnet18.execution.runner import LocalEngine, run_plan
from resnet18.execution.trials import shortened, timed
from resnet18.records.store import Store
from resnet18.report.report import write_report
from resnet18.spec.experiment import parse_data
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request
from resnet18.tables.pace import pace_of

RUNS = 1_000
LONG_RUN_S = 60
MAX_SHARE = 0.01


def a_thousand_runs():
    """Return the first runs of the suite with 50 seeds."""
    return tuple(islice(plan(load_benchmarks(), Request(scale="paper"), range(50), {"cpu": 1}).runs, RUNS))


def test_planning_1000_runs(benchmark):
    """Loading all files, and all cases with 50 seeds."""
    assert len(benchmark.pedantic(a_thousand_runs, rounds=3, warmup_rounds=1)) == RUNS


def test_report_of_1000_records(benchmark, tmp_path):
    """Reading 1,000 files of ten epochs each, all tables and all figures."""
    store = Store(tmp_path)
    store.make_writable()
    epochs = tuple(make_epoch(number) for number in range(1, 11))
    for run in a_thousand_runs():
        store.save(make_record(run.experiment, run.execution, request=Request(scale="paper"), epochs=epochs))

    def report():
        readings = store.read()
        write_report(tmp_path, load_benchmarks(), readings)
        return len(readings.records)

    assert benchmark.pedantic(report, rounds=3) == RUNS


def test_runner_overhead(benchmark, tmp_path):
    """Seconds of a 60-epoch run that are neither preparation, training and evaluation, nor the start of its process.

    60 epochs are as many as a 60-second run has at smoke size: messages, memory readings, hashes, record, log.
    """
    source = parse_data("fashion-mnist-mini")
    tiny = ("train_images=40", "test_images_epoch=20", "test_images_last=20", "width=2", "epochs=60", "threads=1")
    request = Request(overrides=tiny)
    one_case = TOML[: TOML.rindex("[[case]]")]
    planned = plan([make_benchmark(tmp_path, one_case)], request, [0], {"cpu": 1})
    overheads = []

    def run():
        ((epochs, wall_s),) = timed([shortened(planned.runs[0], 8, 4)], source, read_embedded().sha256, 60.0).values()
        store = Store(tmp_path / f"round-{len(overheads)}")
        start = perf_counter()
        run_plan(planned, request, source, LocalEngine(), store, Progress(Console(file=io.StringIO())))
        elapsed_s = perf_counter() - start
        time = store.read().records[0].time
        work_s = time.train_s + time.statistics_s + time.eval_as_published_s + time.eval_clean_s
        overheads.append(elapsed_s - work_s - pace_of(epochs, wall_s, "from timed steps").prepare_s)

    benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    overhead_s = sorted(overheads[1:])[len(overheads[1:]) // 2]
    benchmark.extra_info["overhead_s"] = [round(one, 4) for one in overheads[1:]]
    benchmark.extra_info["share_of_60_s"] = round(overhead_s / LONG_RUN_S, 5)
    assert overhead_s / LONG_RUN_S < MAX_SHARE
