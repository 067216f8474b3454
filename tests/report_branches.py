"""Reports of made-up records that reach as many branches as there are."""

import zlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from builders import TOML, changed, make_benchmark, make_epoch, make_record

from resnet18.analysis.contents import contents_of
from resnet18.analysis.report import ACCEPTED, HEADER, PAGE_LINE, markdown_of
from resnet18.records.record import Score
from resnet18.records.store import Readings
from resnet18.spec.errors import IntegrityError
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

PAPER = Request(scale="paper", data="cifar10")
JPEG = Request(scale="paper", data="cifar10-jpeg")
MEMORY = {
    "allocated_peak_bytes": 1000 * 2**20,
    "reserved_peak_bytes": 1200 * 2**20,
    "device_peak_bytes": 2155 * 2**20,
    "device_baseline_bytes": 14 * 2**20,
    "process_peak_bytes": 2140 * 2**20,
    "rss_peak_bytes": 3000 * 2**20,
}
CHECKS = (
    'kind = "greater", metric = "last_clean_accuracy", case = "16", than = "8"',
    'kind = "greater", metric = "last_clean_accuracy", case = "16", than = "8", by = 1.0, paired = true',
    'kind = "greater", metric = "last_clean_accuracy", case = "16", than_value = 10.0',
    'kind = "less", metric = "train_loss_drop", case = "16", than_value = 1.5',
    'kind = "ranking", metric = "last_clean_accuracy", cases = ["32", "16", "8"]',
    'kind = "equivalent", metric = "final_train_loss", cases = ["8", "16", "32"], margin = 1.0',
    'kind = "equivalent", metric = "epochs_to_plateau", cases = ["8", "16"], margin = 1.0',
    'kind = "equivalent", metric = "epochs_to_plateau", cases = ["8", "16"], margin = 3.0',
    'kind = "equivalent", metric = "final_train_loss", cases = ["8", "16"], margin = 2.0',
    'kind = "close", metric = "best_accuracy", case = "16", reported = "75%", margin = 2.0',
    'kind = "ratio", metric = "train_s", case = "8", to = "16", low = 1.5, high = 3.0',
    'kind = "trend", metric = "last_clean_accuracy", cases = ["8", "16", "32"], direction = "rising", flattens = true',
    'kind = "trend", metric = "best_accuracy", cases = ["8", "16", "32"], direction = "falling"',
    'kind = "run_status", case = "16", status = "oom_device", device = "cpu"',
    'kind = "run_status", case = "8", status = "oom_host", device = "cpu"',
    'kind = "run_status", case = "8", status = "diverged", device = "cpu", card = "24 GiB"',
    'kind = "run_status", case = "8", status = "ok", device = "cpu"',
    'kind = "greater", metric = "last_clean_accuracy", case = "64", than = "8"',
    'kind = "greater", metric = "gain_at_first_cut", case = "8", than_value = 0.0',
    'kind = "overfits", case = "8", turns_by = 5',
)
HEIGHTS = {8: 50, 16: 75, 32: 65, 64: 65}
"""Accuracies that neither rise nor fall."""
OWN = (
    TOML
    + "".join(f'[[case]]\nname = "{size}"\nexperiment = {{ batch_size = {size} }}\n' for size in (32, 64))
    + "".join(f'[[claim]]\nid = "X{at}"\nsays = "it is so"\ncheck = [{{ {one} }}]\n' for at, one in enumerate(CHECKS))
)


def score(percent):
    return Score(loss=2.0 - percent / 100, correct=round(100 * percent), images=10_000)


def curve(run, epochs=10, heights=None):
    """Epochs whose accuracy rises towards what the case and the seed say; the rate is cut half way."""
    key = zlib.crc32(run.arm_id.encode())
    top = 55 + key % 30 + (zlib.crc32(run.run_id.encode()) % 100) / 50
    if heights:
        top = heights[run.experiment.batch_size] + run.experiment.seed / 10
    found = []
    for at in range(1, epochs + 1):
        clean = score(top * (1 - 0.5**at) + (key >> at) % 7 / 10)
        found.append(
            make_epoch(
                at,
                learning_rate=0.01 if 2 * at <= epochs else 0.001,
                steps=50_000 // run.experiment.batch_size + at % 2,
                train=score(min(99, top + at)),
                clean=clean,
                as_published=score(top * (1 - 0.5**at)),
                train_s=10 + at % 3 + key % 5 + (zlib.crc32(run.run_id.encode()) % 9) / 10,
            )
        )
    return tuple(found)


def records_of(benchmarks, request, seeds, epochs=10, devices=None, heights=None, **options):
    devices = devices or {"cpu": 1, "cuda": 4}
    runs = plan(benchmarks, request, range(seeds), devices, hypotheses=True).runs
    return [
        make_record(run.experiment, run.execution, request=request, epochs=curve(run, epochs, heights), **options)
        for run in runs
    ]


def ended(record, status, request):
    return make_record(record.spec.experiment, record.spec.execution, request=request, status=status)


@mock.patch.multiple(
    "resnet18.analysis.illustrations",
    learning_curves=lambda *_: b"",
    against=lambda *_: b"",
    confusion_matrix=lambda *_: b"",
)
def made_of(benchmarks, records, refused=()):
    """The benchmarks and their report without its drawings, which take the time."""
    return benchmarks, contents_of(benchmarks, Readings(tuple(records), tuple(refused)), lambda _: None)


def of_suite(request, seeds, epochs=10):
    """The suite's own tables, some runs of which ended otherwise, were doubtful, or told their memory."""
    suite = load_benchmarks()
    records = records_of(suite, request, seeds, epochs)
    records = [changed(one, memory=MEMORY) if at % 3 else one for at, one in enumerate(records)]
    large = [at for at, one in enumerate(records) if one.spec.experiment.batch_size == 1024]
    for at in large:
        records[at] = ended(records[at], "oom_device", request)
    return made_of(suite, records)


def of_own(folder):
    """A file of one's own: every kind of check, runs that failed, a damaged file, a record of another file."""
    own = make_benchmark(folder, OWN)
    records = [one for one in records_of([own], JPEG, 3, 8, heights=HEIGHTS) if one.spec.experiment.batch_size < 64]
    own_ends = {0: "oom_device", 1: "diverged", 4: "oom_host", 5: "timeout"}
    ends = [ended(one, own_ends[at], JPEG) if at in own_ends else one for at, one in enumerate(records)]
    stale = [*records[:2], *records_of([own], JPEG, 1, 8, code="e" * 64, data="f" * 64)[2:3]]
    stranger = make_record()
    marked = [changed(one, flags=["contaminated"], contamination=["the machine ran on its battery"]) for one in records]
    other = [*records[:3], *records_of([own], JPEG, 3, 8, cpu="another processor")[3:]]
    for some in (records, ends, [*stale, stranger], marked, other):
        yield made_of((own,), some, [IntegrityError("<b>|x.json", "is no record")])


@cache
def all_contents():
    """Every benchmark list with what its report consists of."""
    with TemporaryDirectory() as folder:
        found = [of_suite(PAPER, 3), of_suite(Request(), 1, 2), of_suite(Request("small", "cifar10-jpeg"), 2, 1)]
        suite = load_benchmarks()
        half = records_of(suite, JPEG, 1, 1, {"cpu": 1})
        found.append(made_of(suite, half[::2]))
        changed_options = Request("paper", "cifar10", ("epochs=1",))
        found.append(made_of(suite, records_of(suite[:1], changed_options, 1, 1)))
        two = [one for scale in ("small", "smoke") for one in records_of(suite[:2], Request(scale, "cifar10"), 1)]
        found.append(made_of(suite, two))
        found.append(of_slices())
        return (*found, *of_own(Path(folder)))


def of_slices():
    """Table 4 over few images: times to extrapolate, one of one run alone, and one with a mark."""
    device, cut = load_benchmarks(("device",)), Request("paper", "cifar10-jpeg", ("epochs=2", "train_images=640"))
    first, *others = records_of(device, cut, 2, 2)[1:]
    marked = changed(first, flags=["contaminated"], contamination=["the machine ran on its battery"])
    return made_of(device, [marked, *others])


def reports():
    """Every benchmark list with its report's text; one has the lines that only some reports have."""
    for at, (benchmarks, contents) in enumerate(all_contents()):
        yield benchmarks, markdown_of(contents, [HEADER]) + (f"\n{PAGE_LINE}\n{ACCEPTED}\n" if at == 3 else "")
