"""Read benchmark files. Bytes from outside become values here, or a SpecError that says where and what."""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import MetricCheck, misfit, orders
from resnet18.spec.errors import SpecError, did_you_mean
from resnet18.spec.experiment import SCALE_KEYS
from resnet18.spec.identity import PACKAGE
from resnet18.spec.metric import METRICS, TABLE_METRICS, quantity_of
from resnet18.spec.optimizer import Cosine
from resnet18.spec.resolve import Request, Specs, check_cases_differ, resolve, value_at, with_sub_cases
from resnet18.spec.validation import M, parse_toml, validated

MAX_SPEC_BYTES = 1_000_000
FULL = Request(scale="paper")
NAMES = {"metric": "metric"} | dict.fromkeys(("case", "cases", "than", "to", "of", "speed_up_over"), "case")
"""Keys whose value is the name of something, and of what."""


def benchmarks_dir() -> Path:
    """Return the folder of the suite's own specs: the checkout's, else the one that the wheel carries."""
    checkout = PACKAGE.parent / "benchmarks"
    return checkout if (checkout / "batchsize.toml").is_file() else PACKAGE / "_benchmarks"


def suite_files(folder: str = "") -> dict[str, Path]:
    """Return the suite's own benchmarks, or the TOML files of one of their folders, by name."""
    return {path.stem: path for path in sorted((benchmarks_dir() / folder).glob("*.toml"))}


def load_benchmarks(names: Iterable[str] | None = None) -> tuple[Benchmark, ...]:
    """Return the named benchmarks by `source`: names of the suite, TOML files or folders; without names all of them.

    Raises SpecError as `load_benchmark`, and at an unknown name.
    """
    own = suite_files()
    paths = dict.fromkeys(path for name in names or own for path in _paths(name, own))
    loaded = [load_benchmark(path) for path in paths]
    refuse_twice("benchmarks", "file", (f"{benchmark.name}.toml" for benchmark in loaded))
    check_ids_differ(loaded)
    return tuple(sorted(loaded, key=lambda benchmark: (benchmark.source, benchmark.name)))


def _paths(name: str, own: dict[str, Path]) -> list[Path]:
    """Return the files that a name means. No other file may be called like one of the suite's own."""
    if name in own:
        return [own[name]]
    if os.path.isdir(name):  # noqa: PTH112 - unlike Path.is_dir it takes any text: too long is not there
        found = sorted(Path(name).glob("*.toml"))
        if not found:
            raise SpecError(name, "no TOML file in this folder", next_step="name a file, or another folder")
    elif name.endswith(".toml"):
        found = [Path(name)]
    else:
        what, next_step = f"unknown name{did_you_mean(name, own)}", "name one of these, a folder, or a file .toml"
        raise SpecError(f'benchmark "{name}"', what, allowed=own, next_step=next_step)
    for path in found:
        if path.stem in own and path.resolve() != own[path.stem].resolve():
            what = f'the suite has a benchmark "{path.stem}" of its own'
            raise SpecError(str(path), what, next_step="rename the file")
    return [own.get(path.stem, path) for path in found]


def load_benchmark(path: Path) -> Benchmark:
    """Return the benchmark that a TOML file describes, every case of it checked at full scale, or raise SpecError."""
    where = path.name if path.parent == benchmarks_dir() else str(path)
    benchmark = read_file(Benchmark, path, where, "see benchmarks/README.md for the format", report=path.stem)
    table = benchmark.table
    titles = [table.case_title, *(factor.title for factor in table.factors), *(row.title for row in table.metrics)]
    refuse_twice(where, "column", titles)
    refuse_twice(where, "case", (case.name for case in benchmark.cases))
    refuse_twice(where, "claim", (claim.id for claim in benchmark.claims))
    for hypothesis in benchmark.hypotheses:
        refuse_twice(where, "candidate", (candidate.name for candidate in hypothesis.candidates))
    _check_names(benchmark, where)
    (_check_cases if benchmark.can_run else _check_documented)(benchmark, where)
    _check_quantities(benchmark, where)
    _check_orders(benchmark, where)
    return benchmark


def read_file(model: type[M], path: Path, where: str, next_step: str, **defaults: object) -> M:
    """Return what a TOML file describes; SpecError, which calls the file `where`, if it cannot be read or is wrong."""
    try:
        content = parse_toml(_text(path, where))
    except ValueError as error:
        raise SpecError(where, f"not valid TOML: {error}") from None
    if "name" in content:
        what = f'the key "name" is not for the file: a {model.__name__.lower()} is called like its file'
        raise SpecError(where, what)
    return validated(model, {**defaults, **content, "name": path.stem}, where, next_step)


def _text(path: Path, where: str) -> str:
    try:
        if path.exists() and not path.is_file():
            raise SpecError(where, "is no file: a folder, or a device or a pipe, which may have no end")
        with path.open("rb") as file:
            content = file.read(MAX_SPEC_BYTES + 1)
        if len(content) > MAX_SPEC_BYTES:
            raise SpecError(where, f"larger than {MAX_SPEC_BYTES:,} bytes, which no benchmark file is")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(where, f"not UTF-8: byte {error.start} is {error.object[error.start]:#04x}") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in its name
        raise SpecError(where, f"cannot be read: {getattr(error, 'strerror', error)}") from None


def refuse_twice(where: str, kind: str, names: Iterable[str], next_step: str = "rename one of them") -> None:
    """Raise SpecError at the first name that is there twice, or differs in spaces and in the parts of letters alone."""
    seen = set[str]()
    for name in names:
        if (shown := " ".join(unicodedata.normalize("NFC", name).split())) in seen:
            what = f"two {kind}s have this name, or names that look alike"
            raise SpecError(f'{where}: {kind} "{name}"', what, next_step=next_step)
        seen.add(shown)


def check_ids_differ(benchmarks: Iterable[Benchmark]) -> None:
    """Raise SpecError if two tables of one report have claims of one id: a verdict is found by it."""
    ids: dict[str, list[str]] = {}
    for benchmark in benchmarks:
        ids.setdefault(benchmark.report, []).extend(claim.id for claim in benchmark.claims)
    for report, claims in ids.items():
        refuse_twice(f'report "{report}"', "claim", claims, "rename one of them, or the key `report` of a file")


def _check_documented(benchmark: Benchmark, where: str) -> None:
    """Refuse a file whose cases are partly documented, partly experiments; all must name the same factors."""
    for case in benchmark.cases:
        place = f'{where}: case "{case.name}"'
        if case.experiment or benchmark.experiment or case.execution or benchmark.execution:
            raise SpecError(place, "a report that is only documented has factors, and neither experiment nor execution")
        if case.factors.keys() != benchmark.cases[0].factors.keys():
            raise SpecError(place, f'must name the same factors as case "{benchmark.cases[0].name}"')
    if benchmark.hypotheses or benchmark.table.factors:
        raise SpecError(where, "hypotheses and table.factors belong to experiments that can be run")


def _check_cases(benchmark: Benchmark, where: str) -> None:
    """Refuse keys of the scale, wrong values at full size, equal experiments, and keys that no case has."""
    specs: list[Specs] = []
    for case in with_sub_cases(benchmark).cases:
        place = f'{where}: case "{case.name}"'
        if of_scale := [key for key in SCALE_KEYS if key in {**benchmark.experiment, **case.experiment}]:
            next_step = "remove the key; use --scale, --data, --seeds or -o"
            raise SpecError(f"{place}: {of_scale[0]}", "is set by the scale", next_step=next_step)
        specs.append(resolve(benchmark, case, FULL, seed=0, where=place))
        experiment, schedule = specs[-1][0], specs[-1][0].schedule
        if isinstance(schedule, Cosine) and schedule.warmup_epochs >= experiment.epochs:
            what = f"{schedule.warmup_epochs:g} epochs of warm-up leave none of {experiment.epochs}"
            raise SpecError(f"{place}: schedule.warmup_epochs", what)
    check_cases_differ(benchmark, FULL, where)
    keys = [("assumption", assumption.key) for assumption in benchmark.assumptions if assumption.has_value]
    keys += [("table.factors", factor.key) for factor in benchmark.table.factors]
    for place, key in keys:
        if all(value_at(each, key) is None for each in specs[: len(benchmark.cases)]):  # not of the sub-cases
            raise SpecError(f"{where}: {place}", f'no case has the key "{key}"')


def _check_names(benchmark: Benchmark, where: str) -> None:
    """Refuse a case, a metric or an operation that a part of the file names and that is not there."""
    cases, rows = [case.name for case in benchmark.cases], [row.metric for row in benchmark.table.metrics]
    metrics = {
        "table": TABLE_METRICS if benchmark.can_run else rows,
        "claim": METRICS if benchmark.can_run else [*rows, *METRICS],
    }
    content = benchmark.model_dump(mode="json", by_alias=True, include={"table", "claims", "hypotheses", "printed"})
    content["case"] = [{"reported": [{"metric": name} for name in case.reported]} for case in benchmark.cases]
    for place, name in _texts(content, ()):
        kind = NAMES.get(next(str(key) for key in reversed(place) if isinstance(key, str)), "")
        known = {"case": cases, "metric": metrics.get(str(place[0]), rows)}.get(kind, [name])
        if name not in known:
            words = "".join(f".{part}" if isinstance(part, str) else f"[{part + 1}]" for part in place)
            what = f'unknown {kind} "{name}"{did_you_mean(name, known)}'
            raise SpecError(f"{where}: {words[1:]}", what, allowed=known)


def _texts(value: Any, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:  # noqa: ANN401
    """Yield each text in a JSON value with the keys and numbers that lead to it."""
    if isinstance(value, str):
        yield place, value
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _texts(inner, (*place, key))


def _check_quantities(benchmark: Benchmark, where: str) -> None:
    """Refuse a check that its metric cannot have: the row of a metric of the file's own says what it measures."""
    own = {row.metric: row.measures for row in benchmark.table.metrics if row.metric not in METRICS}
    for claim in benchmark.claims:
        for check in claim.checks:
            if not isinstance(check, MetricCheck):
                continue
            quantity = own.get(check.metric, quantity_of(check.metric))
            if why := misfit(check, quantity):
                what = f'{why}; the quantity of "{check.metric}" is "{quantity}"'
                next_step = "use another kind of check"
                if check.metric in own:
                    next_step = f'set `quantity` of "{check.metric}" in table.metrics, or {next_step}'
                raise SpecError(f"{where}: claim {claim.id}", what, next_step=next_step)


def _check_orders(benchmark: Benchmark, where: str) -> None:
    """Refuse claims whose orders run in a circle: they cannot all hold."""
    below: dict[tuple[str, float | None], dict[str, set[str]]] = {}
    for check in (check for claim in benchmark.claims for check in claim.checks):
        for higher, lower in orders(check):
            of_metric = below.setdefault((getattr(check, "metric", ""), getattr(check, "level", None)), {})
            of_metric.setdefault(higher, set()).add(lower)
    for (metric, _), graph in below.items():
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = '" > "'.join(reversed(error.args[1]))
            raise SpecError(f"{where}: claims on {metric}", f'contradict each other: "{circle}"') from None
