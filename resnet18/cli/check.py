"""The commands `check`, recorded runs beside a baseline, and `compare`, two results folders side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet18.cli import options as opt
from resnet18.records import disk
from resnet18.records.record import Record
from resnet18.records.store import Store, last_attempts
from resnet18.spec.benchmark import Benchmark, Gate
from resnet18.spec.errors import IntegrityError, SpecError, SuiteError, UnfinishedError
from resnet18.spec.load import benchmarks_dir, load_benchmarks
from resnet18.spec.validation import strict_json

if TYPE_CHECKING:
    from resnet18.gate.check import Finding

NAME_HELP = "Benchmark with a [gate] table: a name or a TOML file; default: suite/regress.toml."
BASE_HELP = "Records of the base commit, whose runs went on beside these; bits, times and memory are compared with it."
BASELINE = Path("results/baseline")
FORECAST = "forecast.json"
"""Beside the records of a base: what `resnet18 forecast --json` of its own code printed."""
PEOPLE = Gate(seeds=2)
"""Thresholds of `compare`: a spread takes four seeds."""
EMULATED = "left out: this processor emulates bf16, which takes many times as long"
NOT_BESIDE = "The two sides ran at different times: a difference in time may come from other work on the machine."


def check_command(
    name: Annotated[str | None, typer.Argument(metavar="BENCHMARK", help=NAME_HELP)] = None,
    results: opt.Results = opt.LOCAL,
    baseline: Annotated[Path, opt.option("--baseline", "DIR", "Folder of baselines.")] = BASELINE,
    base: Annotated[Path | None, opt.option("--base", "DIR", BASE_HELP)] = None,
    keep: Annotated[bool, opt.option("--keep", None, "Save these records as the baseline of this machine.")] = False,
) -> opt.Answer:
    """Check records against a baseline. Exit codes: 0 no regression; 1 regression; 3 records missing."""
    from resnet18.gate import baseline as kept
    from resnet18.gate.check import Finding, Sides, check

    (benchmark,) = load_benchmarks((name or str(benchmarks_dir() / "suite" / "regress.toml"),))
    if benchmark.gate is None:
        raise SpecError(f"{benchmark.name}.toml", "has no [gate]: nothing says how much may change")
    try:
        records = final_records(results)
    except IntegrityError as error:
        if base is None:
            raise  # else this code wrote it just now
        says = f"this code writes what it does not read: {error}"
        rest = Finding(benchmark.name, "everything else", "missing", "nothing can be compared")
        return answer(
            [Finding(benchmark.name, "records", "regression", says), rest], results, str(base), benchmark.gate
        )
    found = kept.head_cases(benchmark, records, str(results))
    skipped = {f"{benchmark.name}/{name}" for name in left_out(benchmark)}
    head = {label: records for label, records in found.items() if records or label not in skipped}
    saved = saved_bytes(head)
    if keep:
        folder = kept.keep(baseline, head, saved, Store(results))
        return opt.Answer({"baseline": str(folder)}, f"baseline: {folder}")
    others = base if base is None else kept.head_cases(benchmark, final_records(base, is_base=True), str(base))
    try:
        old = kept.baseline_for(baseline, head, opt.say)
    except SuiteError:
        if others is None:
            raise
        old = None  # with a base it is for accuracies alone, and where bits differ
    kept_bytes = {label: case.saved_bytes for label, case in old.index.cases.items()} if old else {}
    old_bytes = kept_bytes if base is None else bytes_in(base)
    sides = Sides(
        head=head,
        baseline=old.cases if old else {},
        base=others,
        saved_bytes={label: (old_bytes[label], now) for label, now in saved.items() if label in old_bytes},
        left_out=dict.fromkeys(found.keys() - head.keys(), EMULATED),
    )
    about = [f"the base commit beside it ({base})"] if others else []
    about += [f"the baseline of commit {old.index.commit[:12]} ({old.folder})"] if old else []
    return answer(check(sides, benchmark.gate), results, " and ".join(about), benchmark.gate)


def answer(judged: "Sequence[Finding]", head: Path, others: str, gate: Gate) -> opt.Answer:
    """Return the page of a check of a folder, and its exit code."""
    from resnet18.gate.check import exit_code_of
    from resnet18.report.markdown import check_text

    text = check_text(judged, str(head), others, gate.false_alarm_rate)
    return opt.Answer([finding._asdict() for finding in judged], text, exit_code_of(judged))


def left_out(benchmark: Benchmark) -> list[str]:
    """Return the cases that a check does not wait for: those in a precision that this machine emulates."""
    from resnet18.measure.devices import emulates_bf16, present_devices

    shared = benchmark.execution
    found = [case.name for case in benchmark.cases if {**shared, **case.execution}.get("precision") == "bf16"]
    return found if found and emulates_bf16() and len(present_devices(prove=False)) == 1 else []


def final_records(results: Path, *, is_base: bool = False) -> tuple[Record, ...]:
    """Return the last attempt at each run; a damaged record is an error, since the others alone would mislead.

    UnfinishedError where the code of a base, which wrote it just now, writes records of another kind.
    """
    readings = Store(results).read()
    if readings.refused and is_base:
        raise UnfinishedError(str(results), f"this code does not read what the base wrote: {readings.refused[0]}")
    if readings.refused:
        raise readings.refused[0]
    return tuple(last_attempts(readings.records).values())


def saved_bytes(cases: Mapping[str, Sequence[Record]]) -> dict[str, int]:
    """Return what autograd saves of a batch of each case, by this code: seconds of torch, without training."""
    from resnet18.training.forecast import forecast

    specs = {label: records[0].spec for label, records in cases.items() if records}
    return {label: forecast(spec.experiment, spec.execution).saved_bytes for label, spec in specs.items()}


def bytes_in(base: Path) -> dict[str, int]:
    """Return what autograd saves of a batch of each case by the code of a base; nothing where it has not told that."""
    try:
        rows = strict_json(disk.read(base / FORECAST))
        return {row["case"]: int(row["saved_bytes"]) for row in rows}
    except (OSError, ValueError, TypeError, KeyError, IntegrityError):
        return {}


def compare_command(
    first: Annotated[Path, typer.Argument(metavar="A", help="Results folder that is the reference.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Results folder that is compared with A.")],
    names: opt.Names = None,
) -> opt.Answer:
    """Compare two results folders: equal results, accuracy, time, memory. Exit code 2: not comparable."""
    from resnet18.gate.baseline import every_case, obstacles
    from resnet18.gate.check import Sides, check

    benchmarks = load_benchmarks(names)
    a, b = (every_case(benchmarks, final_records(folder)) for folder in (first, second))
    if reasons := obstacles(a, b):
        raise SpecError(f"{first} and {second}", "cannot be compared:\n  " + "\n  ".join(reasons))
    ours = {case: records for case, records in a.items() if case in b}
    judged = check(Sides(head={case: b[case] for case in ours}, baseline=ours, base=ours), PEOPLE)
    found = answer(judged, second, f"the records of {first}", PEOPLE)
    return found._replace(text=f"{found.text}\n\n{NOT_BESIDE}")
