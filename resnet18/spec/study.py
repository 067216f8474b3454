"""A study names what is run for one report, in parts: what each runs, on which data, how many seeds. One TOML file."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from resnet18.spec.benchmark import SomeNames
from resnet18.spec.claim import Name, Text
from resnet18.spec.errors import Items, Model, SpecError, did_you_mean
from resnet18.spec.experiment import LABEL, ScaleName
from resnet18.spec.load import benchmarks_dir, load_benchmarks, read_file, refuse_twice, suite_files
from resnet18.spec.plan import EVERY_DEVICE, Plan, plan
from resnet18.spec.resolve import Request, canonical_overrides

FORMAT = 'see benchmarks/README.md, "Studies", for the format'


class Part(Model):
    """Runs of some benchmarks under one request."""

    title: Name  # in words, such as "Full size, 32 px": the heading in the report
    benchmarks: SomeNames  # as `load_benchmarks` takes them; once a study is loaded, from whichever folder
    cases: Items[Name] = ()  # `CASE` or `BENCHMARK/CASE`; none: all
    scale: ScaleName
    data: Annotated[str, Field(pattern=LABEL)]  # where data of this label lie is said on the command line
    options: Items[Text] = ()  # `key=value`, as after -o
    seeds: Annotated[int, Field(ge=1, le=1_000)]
    times: bool = False  # whether times count: then each run has the machine for itself
    hypotheses: bool = False  # whether candidates of hypotheses are run, too

    @property
    def request(self) -> Request:
        """What is asked for of every table; SpecError at an option that is not key=value."""
        return Request(self.scale, self.data, canonical_overrides([*self.options], None))

    def plan(self, devices: Mapping[str, int], seeds: int | None = None) -> Plan:
        """Return the part's runs, of its seeds or of so many, on a machine with these devices.

        Raises SpecError at an unknown benchmark, case or option.
        """
        benchmarks, numbers = load_benchmarks(self.benchmarks), range(seeds or self.seeds)
        return plan(benchmarks, self.request, numbers, devices, hypotheses=self.hypotheses, cases=self.cases)


class Study(Model):
    """One file of `benchmarks/studies`, or of a user's own."""

    name: Annotated[str, Field(pattern=LABEL)]  # the file's stem
    title: Name
    report: Name | None = None  # the report whose tables it is about, as benchmarks name it
    parts: Annotated[Items[Part], Field(alias="part", min_length=1, max_length=100)]  # in order of worth

    def named(self, titles: Collection[str]) -> tuple[Part, ...]:
        """Return the parts of these titles in the study's order, without titles all; SpecError at an unknown one."""
        known = [part.title for part in self.parts]
        for title in titles:
            if title not in known:
                where, what = f'study {self.name}: part "{title}"', f"unknown title{did_you_mean(title, known)}"
                raise SpecError(where, what, allowed=[f'"{one}"' for one in known])
        return tuple(part for part in self.parts if part.title in titles or not titles)


def load_study(name: str) -> Study:
    """Return the study of a name or of a TOML file, each part checked by planning it, or raise SpecError.

    A benchmark's path that starts with `benchmarks/` is one of the suite's files; others start at the study's folder.
    """
    own = suite_files("studies")
    if name not in own and not name.endswith(".toml"):
        next_step = "name one of these, or a TOML file"
        raise SpecError(f'study "{name}"', f"unknown name{did_you_mean(name, own)}", allowed=own, next_step=next_step)
    path = own.get(name, Path(name))
    where = f"studies/{path.name}" if name in own else str(path)
    study = read_file(Study, path, where, FORMAT)
    refuse_twice(where, "part", (part.title for part in study.parts))
    parts = []
    for part in study.parts:
        names = tuple(_place(one, path.parent) for one in part.benchmarks)
        parts.append(part.model_copy(update={"benchmarks": names}))
        try:
            parts[-1].plan(EVERY_DEVICE, seeds=1)
        except SpecError as error:
            place = f'{where}: part "{part.title}": {error.where.removeprefix("--")}'
            raise SpecError(place, error.what, allowed=error.allowed, next_step=error.next_step) from None
    load_benchmarks(one for part in parts for one in part.benchmarks)  # no two of one name stand in one report
    return study.model_copy(update={"parts": tuple(parts)})


def _place(name: str, folder: Path) -> str:
    """Return a benchmark's name, or its path from the shell's own folder."""
    if "/" not in name and not name.endswith(".toml"):
        return name
    start, _, rest = name.partition("/")
    return str(benchmarks_dir() / rest if start == "benchmarks" else folder / name)
