"""Read benchmark files. Bytes from outside become values here, or a SpecError that says where and what."""

import os
from pathlib import Path

from pydantic import ValidationError

from resnet18.spec.benchmark import Benchmark
from resnet18.spec.code import PACKAGE
from resnet18.spec.consistency import check_consistency, check_ids_differ, check_warm_up
from resnet18.spec.errors import SpecError, did_you_mean
from resnet18.spec.identity import arm_id
from resnet18.spec.resolve import Request, resolve, value_at
from resnet18.spec.scale import SCALE_KEYS
from resnet18.spec.strict import parse_toml, spec_error

MAX_SPEC_BYTES = 1_000_000


def benchmarks_dir() -> Path:
    """Return the folder of the suite's own specs: the checkout's, else the one that the wheel carries."""
    checkout = PACKAGE.parent / "benchmarks"
    return checkout if (checkout / "batchsize.toml").is_file() else PACKAGE / "_benchmarks"


def load_benchmarks(names: tuple[str, ...] = ()) -> tuple[Benchmark, ...]:
    """Return the named benchmarks: names of the suite, TOML files or folders of them; without names all of the suite.

    They come in the order in which their report tells them, by `source`.

    Raises:
        SpecError: an unknown name, a file that cannot be read, or one that does not describe a benchmark.
    """
    own = {path.stem: path for path in sorted(benchmarks_dir().glob("*.toml"))}
    paths = []
    for name in names or own:
        if name in own:
            paths.append(own[name])
        elif os.path.isdir(name):  # noqa: PTH112 - unlike Path.is_dir it takes any text: too long is not there
            paths += [_not_called_like_another(path, own) for path in _files_in(Path(name))]
        elif name.endswith(".toml"):
            paths.append(_not_called_like_another(Path(name), own))
        elif os.path.isfile(name):  # noqa: PTH113 - as above
            raise SpecError(name, "a benchmark file must end in .toml")
        else:
            raise SpecError(f'benchmark "{name}"', f"unknown name{did_you_mean(name, own)}", allowed=own)
    loaded = [load_benchmark(path) for path in dict.fromkeys(paths)]
    stems = [benchmark.name for benchmark in loaded]
    for benchmark in loaded:
        if stems.count(benchmark.name) > 1:
            raise SpecError(f"{benchmark.name}.toml", "two files of this name", next_step="rename one of them")
    check_ids_differ(loaded)
    return tuple(sorted(loaded, key=lambda benchmark: (benchmark.source, benchmark.name)))


def _not_called_like_another(path: Path, own: dict[str, Path]) -> Path:
    """Return the path, of a file of the suite the suite's own. Two benchmarks of one name could not be told apart."""
    if path.stem not in own:
        return path
    if path.resolve() != own[path.stem].resolve():
        raise SpecError(str(path), f'the suite has a benchmark "{path.stem}" of its own', next_step="rename the file")
    return own[path.stem]


def _files_in(folder: Path) -> list[Path]:
    """Return the TOML files directly in a folder."""
    found = sorted(folder.glob("*.toml"))
    if not found:
        raise SpecError(str(folder), "no TOML file in this folder", next_step="name a file, or another folder")
    return found


def load_benchmark(path: Path) -> Benchmark:
    """Return the benchmark that a TOML file describes, every case of it checked at full scale.

    Raises:
        SpecError: the file cannot be read, or does not describe a benchmark; the message says where and what.
    """
    where = path.name if path.parent == benchmarks_dir() else str(path)
    try:
        content = parse_toml(_text(path, where))
    except ValueError as error:
        raise SpecError(where, f"not valid TOML: {error}") from None
    if "name" in content:
        raise SpecError(where, 'the key "name" is not for the file: a benchmark is called like its file')
    try:
        benchmark = Benchmark.model_validate({**content, "name": path.stem})
    except ValidationError as error:
        raise spec_error(where, Benchmark, error, "see benchmarks/README.md for the format") from None
    if (twice := _repeated_case(benchmark)) is not None:
        raise SpecError(f'{where}: case "{twice}"', "two cases have this name")
    if benchmark.can_run:
        _check_cases(benchmark, where)
    else:
        _check_documented(benchmark, where)
    check_consistency(benchmark, where)
    return benchmark


def _repeated_case(benchmark: Benchmark) -> str | None:
    names = [case.name for case in benchmark.cases]
    return next((name for name in names if names.count(name) > 1), None)


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


def _text(path: Path, where: str) -> str:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise SpecError(where, "is no file: a device or a pipe may have no end")
        with path.open("rb") as file:
            content = file.read(MAX_SPEC_BYTES + 1)
    except OSError as error:
        raise SpecError(where, f"cannot be read: {error.strerror}") from None
    except ValueError as error:  # a null character in its name
        raise SpecError(where, f"cannot be read: {error}") from None
    if len(content) > MAX_SPEC_BYTES:
        raise SpecError(where, f"larger than {MAX_SPEC_BYTES:,} bytes, which no benchmark file is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(where, f"not UTF-8: byte {error.start} is {error.object[error.start]:#04x}") from None


def _check_cases(benchmark: Benchmark, where: str) -> None:
    """Refuse what no single case shows: keys of the scale, equal names, equal experiments, idle assumptions."""
    full = Request(scale="paper")
    seen: dict[str, str] = {}
    for case in benchmark.cases:
        place = f'{where}: case "{case.name}"'
        for key in SCALE_KEYS:
            if key in benchmark.experiment or key in case.experiment:
                raise SpecError(
                    f"{place}: {key}",
                    "is set by the scale",
                    next_step="remove the key; use --scale, --data, --seeds or -o",
                )
        experiment, execution = resolve(benchmark, case, full, seed=0, where=place)
        check_warm_up(experiment, place)
        arm = arm_id(experiment, execution)
        if arm in seen:
            raise SpecError(place, f'describes the same run as case "{seen[arm]}"')
        seen[arm] = case.name
    specs = [spec for case in benchmark.cases for spec in resolve(benchmark, case, full, seed=0)]
    keys = [("assumption", one.key) for one in benchmark.assumptions if one.has_value]
    keys += [("table.factors", one.key) for one in benchmark.table.factors if one.key]
    for place, key in keys:
        if all(value_at(spec, key) is None for spec in specs):
            raise SpecError(f"{where}: {place}", f'no case has the key "{key}"')
