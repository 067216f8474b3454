"""A study names what is run for one report, in parts: what each runs, on which data, how many seeds. One TOML file."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from resnet18.spec.benchmark import SomeNames
from resnet18.spec.claim import Name, Text
from resnet18.spec.errors import Items, Model, SpecError, did_you_mean, spec_error
from resnet18.spec.experiment import LABEL, ScaleName
from resnet18.spec.load import benchmarks_dir, load_benchmarks, read_toml, refuse_twice
from resnet18.spec.plan import EVERY_DEVICE, Plan, only_cases, plan
from resnet18.spec.resolve import Request, canonical_overrides

FORMAT = 'see benchmarks/README.md, "Studies", for the format'


def _is_a_label(text: str) -> str:
    if not re.fullmatch(LABEL, text):
        what = "a label has small letters, digits, - and _, as cifar10-jpeg has; --data says where the data lie"
        raise ValueError(f'no data set is labelled "{text}": {what}')
    return text


class Part(Model):
    """Runs of some benchmarks under one request."""

    title: Name  # in words, such as "Full size, 32 px": the heading in the report
    benchmarks: SomeNames  # as `load_benchmarks` takes them; once a study is loaded, from whichever folder
    cases: Items[Name] = ()  # `CASE` or `BENCHMARK/CASE`; none: all
    scale: ScaleName
    data: Annotated[str, AfterValidator(_is_a_label)]  # where such data lie is said on the command line
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
        planned = plan(benchmarks, self.request, numbers, devices, hypotheses=self.hypotheses)
        return only_cases(planned, self.cases, self.benchmarks) if self.cases else planned


class Study(Model):
    """One file of `benchmarks/studies`, or of a user's own."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]  # the file's stem
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


def study_schema() -> dict[str, Any]:
    """Return the JSON schema of a study's file."""
    schema = Study.model_json_schema(by_alias=True)
    schema["properties"].pop("name")
    schema["required"].remove("name")
    return schema


def studies() -> dict[str, Path]:
    """Return the files of the suite's own studies by name."""
    return {path.stem: path for path in sorted((benchmarks_dir() / "studies").glob("*.toml"))}


def load_study(name: str) -> Study:
    """Return the study of a name or of a TOML file, each part checked by planning it, or raise SpecError.

    A benchmark's path that starts with `benchmarks/` is one of the suite's files; others start at the study's folder.
    """
    own = studies()
    if name not in own and not name.endswith(".toml"):
        next_step = "name one of these, or a TOML file"
        raise SpecError(f'study "{name}"', f"unknown name{did_you_mean(name, own)}", allowed=own, next_step=next_step)
    path = own.get(name, Path(name))
    where = f"studies/{path.name}" if name in own else str(path)
    content = read_toml(path, where)
    if "name" in content:
        raise SpecError(where, 'the key "name" is not for the file: a study is called like its file')
    try:
        study = Study.model_validate({**content, "name": path.stem})
    except ValidationError as error:
        raise spec_error(where, Study, error, FORMAT) from None
    refuse_twice(where, "part", (part.title for part in study.parts))
    found = [
        part.model_copy(update={"benchmarks": tuple(_place(one, path.parent) for one in part.benchmarks)})
        for part in study.parts
    ]
    for part in found:
        with _inside(f'{where}: part "{part.title}"'):
            part.plan(EVERY_DEVICE, seeds=1)
    with _inside(where):  # two tables of one name cannot stand in one report
        load_benchmarks(one for part in found for one in part.benchmarks)
    return study.model_copy(update={"parts": tuple(found)})


def _place(name: str, folder: Path) -> str:
    """Return a benchmark's name, or its path from the shell's own folder."""
    if "/" not in name and not name.endswith(".toml"):
        return name
    start, _, rest = name.partition("/")
    return str(benchmarks_dir() / rest if start == "benchmarks" else folder / name)


@contextmanager
def _inside(place: str) -> Iterator[None]:
    """Say of an error in which part of a study it is."""
    try:
        yield
    except SpecError as error:
        where = f"{place}: {error.where.removeprefix('--')}"
        raise SpecError(where, error.what, allowed=error.allowed, next_step=error.next_step) from None
