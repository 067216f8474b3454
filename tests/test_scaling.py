"""Scaling: the time of several ranks beside that of one, divided only where the ranks alone differ."""

import pytest
from builders import TOML, changed, make_benchmark, make_epoch, make_record

from resnet18.analysis.scaling import scaling_lines
from resnet18.analysis.section import section
from resnet18.analysis.view import look
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

PAPER = Request(scale="paper", data="cifar10-jpeg")
SECONDS = {1: 600.0, 2: 320.0, 4: 200.0}
"""Of training by ranks: 600 / 320 = 1.875 and 600 / 200 = 3."""
CPU_RUNS = {"CPU, one thread": 60.0, "CPU, two ranks": 32.0}
TABLE = 2
"""Where it is among the lines."""
TIME, SPEED_UP, EFFICIENCY = 2, 3, 4
ALONE = TOML + '[[case]]\nname = "two"\nexperiment = { batch_size = 8 }\nexecution = { ranks = 2, threads = 1 }\n'
"""Batch 8 by two ranks of one thread, and by one rank with as many threads as there are: not the same case."""


@pytest.fixture(scope="module")
def device():
    return load_benchmarks(("device",))[0]


def on_gpu(ranks, **numerics):
    """Numerics of a rank on a GPU: the more of them, the fewer threads each has."""
    return {"device": "cuda", "gpu_model": "a GPU", "threads": 8 // ranks, **numerics}


def gpu_records(device, seeds=1, only=(1, 2, 4), numerics=on_gpu):
    """One record for each case with the GPU's reference path, and seed; a seed adds 1 % to the time."""
    return [
        make_record(
            run.experiment,
            run.execution,
            request=PAPER,
            epochs=(make_epoch(1, train_s=SECONDS[run.execution.ranks] * (1 + run.experiment.seed / 100)),),
            numerics=numerics(run.execution.ranks),
        )
        for run in plan([device], PAPER, range(seeds), {"cpu": 1, "cuda": 4}).runs
        if (run.execution.device, run.execution.path) == ("cuda", "reference") and run.execution.ranks in only
    ]


def cpu_records(device, numerics=None):
    """One record for the CPU's case of one thread, and one for two such ranks."""
    return [
        make_record(
            run.experiment,
            run.execution,
            request=PAPER,
            epochs=(make_epoch(1, train_s=CPU_RUNS[name]),),
            numerics={"threads": 1, **(numerics or {}).get(name, {})},
        )
        for run in plan([device], PAPER, [0], {"cpu": 1}).runs
        if (name := run.labels[0].partition("/")[2]) in CPU_RUNS
    ]


def lines_of(benchmark, records):
    (view,) = look([benchmark], PAPER, records)
    return scaling_lines(view)


def rows_of(benchmark, records):
    """The table's cells by case, escapes of markdown left out."""
    table = lines_of(benchmark, records)[TABLE].replace("\\", "").splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    return {row[0]: row for row in cells}


GOLDEN = r"""Scaling over ranks (train_s, one experiment trained by several processes):

| Case            | Ranks   | Train time (s, median)   | Speed-up \[95 %\]               | Efficiency \[95 %\]   | n (seeds)   |
|:----------------|:--------|:-------------------------|:--------------------------------|:----------------------|:------------|
| CPU, one thread | 1       | 60.0                     | 1                               | 100 %                 | 1           |
| CPU, two ranks  | 2       | 32.0                     | 1.88 (n = 1 and 1: no interval) | 93.8 %                | 1           |
| GPU             | 1       | 600.0                    | 1                               | 100 %                 | 1           |
| GPU, two ranks  | 2       | 320.0                    | 1.88 (n = 1 and 1: no interval) | 93.8 %                | 1           |
| GPU, four ranks | 4       | 200.0                    | 3 (n = 1 and 1: no interval)    | 75.0 %                | 1           |

- Speed-up: the time of the same case with one rank, divided by this one's. Efficiency: speed-up divided by ranks; 100 % is N ranks that take one N-th of the time.
- The ranks share each batch. With local batch norm each of them normalises over its own share of it, so that results differ from one rank's.
"""  # noqa: E501 - markdown as it is


def test_cases_of_several_ranks_stand_below_their_case_of_one(device):
    """600 s become 320 s on two and 200 s on four: 93.75 % and 75 % of what ranks could give."""
    assert GOLDEN == "\n".join(lines_of(device, gpu_records(device) + cpu_records(device)))


def test_five_runs_a_side_have_an_interval(device):
    """That of the speed-up, in percent of the ranks."""
    row = rows_of(device, gpu_records(device, seeds=5))["GPU, two ranks"]

    assert ["1.88 [1.82, 1.93]", "93.8 % [91.0, 96.5]"] == row[SPEED_UP : EFFICIENCY + 1]


@pytest.mark.parametrize("at", [0, 1])
def test_a_marked_time_enters_no_scaling(at, device):
    """On either side, and the cell says why."""
    records = gpu_records(device, only=(1, 2))
    records[at] = changed(records[at], flags=["contaminated"], contamination=["other work"])
    row = rows_of(device, records)["GPU, two ranks"]

    assert ["not computed: times are marked contaminated", "\N{EN DASH}"] == row[SPEED_UP : EFFICIENCY + 1]


def test_a_marked_time_keeps_its_mark(device):
    """As in the table above."""
    records = [changed(one, flags=["contaminated"], contamination=["other work"]) for one in gpu_records(device)]

    assert "320.0 \N{DAGGER}" == rows_of(device, records)["GPU, two ranks"][TIME]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"gpu_model": "another GPU"}, "the machines differ"),
        ({"torch": "1.9.0"}, "versions of torch, CUDA or the driver differ"),
        ({"cuda": "11.1"}, "versions of torch, CUDA or the driver differ"),
    ],
)
def test_times_of_two_machines_are_not_divided(other, reason, device):
    """A speed-up of devices may come from two; one of ranks says nothing then."""
    records = gpu_records(device, only=(1, 2), numerics=lambda ranks: on_gpu(ranks, **(other if ranks > 1 else {})))
    row = rows_of(device, records)["GPU, two ranks"]

    assert [f"not computed: {reason}", "\N{EN DASH}"] == row[SPEED_UP : EFFICIENCY + 1]


def test_on_a_cpu_each_rank_must_have_as_many_threads(device):
    """They compute, while beside a GPU they only feed it."""
    row = rows_of(device, cpu_records(device, {"CPU, two ranks": {"threads": 2}}))["CPU, two ranks"]

    assert "not computed: threads of a rank differ" == row[SPEED_UP]


def test_ranks_on_a_machine_without_a_gpu_say_so(device):
    """In the words of every other table."""
    row = rows_of(device, cpu_records(device))["GPU, two ranks"]

    assert ["not run: no CUDA device"] * 3 == row[TIME : EFFICIENCY + 1]


def test_ranks_of_which_no_record_had_the_devices_say_so(device):
    """Records of one GPU do not tell of another."""
    rows = rows_of(device, gpu_records(device, only=(1, 2)))

    assert "not run: fewer than 4 CUDA devices" == rows["GPU, four ranks"][SPEED_UP]


def test_ranks_that_were_not_run_where_they_could_say_that_alone(device):
    """Four devices were there."""
    assert "not run" == rows_of(device, gpu_records(device, only=(1, 4)))["GPU, two ranks"][SPEED_UP]


def test_without_the_time_of_one_rank_there_is_no_speed_up(device):
    """The case of one rank keeps its row."""
    rows = rows_of(device, gpu_records(device, only=(2,)))

    assert ["not run", "not computed: no time of GPU"] == [rows[name][SPEED_UP] for name in ("GPU", "GPU, two ranks")]


def alone(tmp_path):
    mine = make_benchmark(tmp_path, ALONE)
    runs = plan([mine], PAPER, [0], {"cpu": 1}).runs
    return mine, [make_record(run.experiment, run.execution, request=PAPER) for run in runs]


def test_a_case_without_one_of_one_rank_has_a_time_and_no_speed_up(tmp_path):
    """Another number of threads is another case."""
    mine, records = alone(tmp_path)

    assert {"two": ["two", "2", "1.00", "not computed: no such case with one rank", "\N{EN DASH}", "1"]} == rows_of(
        mine, records
    )


def test_a_benchmark_of_one_rank_has_no_scaling(tmp_path):
    """Nothing would be scaled."""
    mine = make_benchmark(tmp_path)
    (run, _) = plan([mine], PAPER, [0], {"cpu": 1}).runs

    assert [] == lines_of(mine, [make_record(run.experiment, run.execution, request=PAPER)])


def test_the_scaling_stands_between_the_derived_numbers_and_memory(device):
    """In the benchmark's section of the report."""
    (view,) = look([device], PAPER, gpu_records(device))
    text = section(view, (view,), PAPER, [], [])

    assert text.index("speed-up Sp") < text.index("\n\nScaling over ranks") < text.index("Peak memory of a run")


def test_peak_memory_of_several_ranks_has_no_forecast(device):
    """The closed form is of a whole batch on one device."""
    (view,) = look([device], PAPER, gpu_records(device))
    (row,) = [
        line
        for line in section(view, (view,), PAPER, [], []).partition("Peak memory")[2].splitlines()
        if line.startswith("| GPU, two ranks")
    ]

    assert "| \N{EN DASH} (one rank alone) " in row
