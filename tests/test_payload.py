"""A payload in every string of a record, a specification and a table of runs: no output does what it says."""

import csv
import io
import json
import re
import sys
import tomllib
import xml.etree.ElementTree as ET

import pytest
from builders import TINY, TOML, make_benchmark, make_epoch, make_record, make_toml, under
from markdown_it import MarkdownIt
from reports import record_all
from test_page import Page

from resnet18.records.content import file_name, parse_record, record_hash
from resnet18.records.record import Record
from resnet18.report.exports import FORMULA
from resnet18.spec.benchmark import spec_schema
from resnet18.spec.errors import NOT_SHOWN, SuiteError, printable
from resnet18.spec.load import load_benchmark
from resnet18.spec.resolve import Request, _as_toml

MARKUP = (
    '=cmd() ::error::x <script>alert(1)</script>"><img src=x onerror=y>[x](javascript:z) ![x](https://x.y)'
    " `$\\frac{1}{2}$` </script> ]]> --> [red]x[/red] {{7*7}} {0} %s%n | forged | forged |"
)
PAYLOADS = {
    "markup": MARKUP,
    "name": "=cmd() [x](javascript:z) ![x](https://x.y) **x** $\\frac{1}{2}$ [red]x[/red] {{7*7}} {0} %s%n &lt;b&gt;",
    "controls": f"\x1b[31m\x1b]8;;https://x.y\x1b\\\x9b5m\u202e\u2028\xad{MARKUP}\n\n| forged | x |\n::error::x ##[c]",
    "no text": f"\x00\ud800{MARKUP}",
}
HIDDEN = re.compile(rf"[{NOT_SHOWN}\ud800-\udfff]")
SPEC = (
    TOML.replace("title =", 'varies = ["batch_size"]\ntitle =', 1)
    + """
[execution]
device = "cpu"
[printed]
memory = [{ case = "8", printed = "3 GiB" }]
derived = [{ name = "gap", kind = "difference", metric = "best_accuracy", of = "8", to = "16", printed = "1" }]
rate = [{ epoch = 1, printed = "0.01", cases = ["8"] }]
same_work = [{ cases = ["8", "16"], metric = "whole_program_s", because = "it is" }]
[[assumption]]
key = "width"
source = "nobody says"
[[claim]]
id = "X1"
says = "it is so"
tested = "like this"
section = "1"
check = [{ kind = "greater", metric = "clean_accuracy", case = "8", than = "16" }]
[[hypothesis]]
key = "width"
question = "Which?"
cases = ["8"]
candidate = [{ name = "wide", value = 4 }, { name = "wider", value = 6 }]
"""
)


def places(schema, definitions, at=(), seen=()):
    """Yield the way to every string that JSON of a schema can hold, keys of free tables among them."""
    if name := schema.get("$ref", "").rpartition("/")[2]:
        if name not in seen:
            yield from places(definitions[name], definitions, at, (*seen, name))
        return
    for one in (one for key in ("anyOf", "oneOf") for one in schema.get(key, ())):
        yield from places(one, definitions, at, seen)
    if schema.get("type") == "string" or isinstance(schema.get("const"), str):
        yield at
    for name, one in schema.get("properties", {}).items():
        yield from places(one, definitions, (*at, name), seen)
    if "items" in schema:
        yield from places(schema["items"], definitions, (*at, "[]"), seen)
    if isinstance(free := schema.get("additionalProperties"), dict):
        yield from ((*at, "{key}"), *places(free, definitions, (*at, "{}"), seen))


def planted(content, way, text):
    """The content with a text at the end of a way; what is missing on it is made."""
    if not way:
        return text
    here, *rest = way
    if here == "[]":
        return [planted(content[0] if content else None, rest, text), *(content or [])[1:]]
    known = content or {}
    if here == "{key}":
        return {**known, text: next(iter(known.values()), "x")}
    key = next(iter(known), "x") if here == "{}" else here
    return {**known, key: planted(known.get(key), rest, text)}


class Planting:
    """Plants each payload at each place of a content, one at a time, and keeps a content with all that is accepted."""

    def __init__(self, read, schema, said):
        self.read, self.said = read, said
        self.places = sorted(set(places(schema, schema["$defs"])))
        self.accepted = set()

    def full(self, content, kind, but=()):
        """The content with a payload wherever it is accepted, but for one place."""
        self.read(content)
        found = content
        for at, way in enumerate(self.places):
            text = f"{PAYLOADS[kind]} {at}"  # two columns may not have one name
            try:
                self.read(planted(content, way, text))
            except SuiteError as error:
                self.said.append(printable(f"left out: {error}"))
            else:
                found = planted(found, way, text) if way != but else found
                self.accepted.add((kind, way))
        return found

    @property
    def counts(self):
        """Places, payloads that were planted there, and how many of them are accepted."""
        return len(self.places), len(self.places) * len(PAYLOADS), len(self.accepted)


@pytest.fixture
def planted_folder(tmp_path, monkeypatch):
    """Specifications and records with payloads wherever they are accepted; what was said of the others; the counts."""
    monkeypatch.chdir(tmp_path)
    said, files = [], []

    def read_spec(content, name="mine"):
        lines = (f"{key} = {_as_toml(one)}\n" for key, one in content.items())
        return load_benchmark(make_toml(tmp_path, "".join(lines).encode("utf-8", "replace").decode(), name))

    def read_record(content):
        return parse_record(json.dumps(seal_json(content)).encode(), file_name(content["run_id"], content["attempt"]))

    specs, records = Planting(read_spec, spec_schema(), said), Planting(read_record, Record.model_json_schema(), said)
    for kind in PAYLOADS:
        for text in (SPEC, TOML) if kind == "name" else (SPEC,):  # in the second nothing else names the cases
            full = specs.full(tomllib.loads(text), kind)
            if kind in {"markup", "name"}:  # nothing of the others is accepted
                files.append(f"mine{len(files)}.toml")
                read_spec(full, files[-1].removesuffix(".toml"))
    (tmp_path / "results" / "records").mkdir(parents=True)
    request = Request(overrides=TINY)

    def epochs(run):
        return (make_epoch(1, steps=40 // run.experiment.batch_size + 40 % run.experiment.batch_size // 8),)

    for run in record_all([make_benchmark(tmp_path)], request, range(len(PAYLOADS)), epochs):
        kind, spec = [*PAYLOADS][run.seed], (run.spec.experiment, run.spec.execution)
        failed = spec[0].batch_size == 16
        record = make_record(*spec, request=request, status="crashed") if failed else under(run, cpus=2)
        but = () if failed else ("spec", "overrides", "[]")  # no table asks for such options
        content = records.full(record.model_dump(mode="json"), kind, but)
        read_record(content)
        path = tmp_path / "results" / "records" / file_name(record.run_id, record.attempt)
        path.write_text(json.dumps(seal_json(content)), encoding="utf-8")
    return said, files, (specs.counts, records.counts)


def seal_json(content):
    return {**content, "record_hash": record_hash(content)}


def check_printed(text):
    """A terminal and a log of GitHub obey nothing of it."""
    assert not HIDDEN.search(text.replace("\n", ""))
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::") or "##[" in line]


def check_markdown(text):
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inside = [child for token in tokens for child in token.children or ()]
    html = [token.content for token in (*tokens, *inside) if token.type.startswith("html")]
    links = [
        str(child.attrs.get("href", child.attrs.get("src"))) for child in inside if child.type in {"link_open", "image"}
    ]
    assert not [
        one for one in html if not re.fullmatch(r"(<!-- Made by [^<]*-->|</?details>|</?summary>)+\s*|<summary>.*", one)
    ]
    assert [one for one in links if ":" in one] == []
    assert "forged" not in [token.content.strip() for token in tokens if token.type == "inline"]
    assert not HIDDEN.search(text.replace("\n", ""))


def check_page(text):
    page = Page(text)
    assert 2 == sum(tag == "script" for tag, _ in page.tags)
    assert not [attributes for _, attributes in page.tags if {"onerror", "onload"} & attributes.keys()]
    assert {"data:"} >= {attributes["src"][:5] for tag, attributes in page.tags if "src" in attributes}
    json.loads(page.raw["script application/json"])
    assert not HIDDEN.search(text.replace("\n", ""))


def check_drawing(text):
    names = {element.tag.rpartition("}")[2] for element in ET.fromstring(text[text.index("<svg") :]).iter()}  # noqa: S314 - our own
    assert not names & {"script", "img", "a", "foreignObject"}


def check_csv(text):
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert not [
        cell for cell in cells if FORMULA.match(cell) and cell[0] != "'" and not re.fullmatch(r"-[\d.e-]+", cell)
    ]


FILES = {".md": check_markdown, ".html": check_page, ".svg": check_drawing, ".json": json.loads, ".csv": check_csv}


def test_no_output_does_what_a_payload_says(planted_folder, cli, tmp_path, monkeypatch):
    """In every string of the models, in names of files, a variable, `judge`'s table; and what is said of the refused.

    Counted are places, payloads planted there, and how many are accepted, since they are text.
    """
    said, files, counts = planted_folder
    name = PAYLOADS["controls"].replace("/", "")
    (tmp_path / "results" / "records" / f"{name[:150]}.json").touch()
    (tmp_path / "home" / "decoded" / f"{name[:150]}-0").mkdir(parents=True)
    monkeypatch.setenv("OMP_WAIT_POLICY", name)
    monkeypatch.setitem(sys.modules, "torch", None)  # which takes seconds
    check_printed("\n".join(said))
    assert ((85, 340, 28), (48, 192, 46)) == counts
    runs = "case,seed,metric,value\n" + "".join(
        f'"{text[:40]}",0,"{text}",1\n'.replace("\n", " ") + "\n" for text in PAYLOADS.values()
    )
    (tmp_path / "judged.txt").write_bytes(runs.encode("utf-8", "replace"))
    commands = [
        *([word, *files, "--results", "results"] for word in ("report", "plan")),
        *(["export", form, *files, "--results", "results"] for form in ("csv", "csv-runs", "github-bigger")),
        ["export", "csv", *files, "--results", "results", "--to", "out.csv"],
        *(["audit", one] for one in files),
        ["judge", "judged.txt", files[0]],
        *(["merge", "results", "--into", "copy"], ["env"], ["data", "where"]),
    ]
    for command in commands:
        for options in ((), ("--json",)) if command[0] != "report" else ((),):
            result = cli(*command, *options)
            assert result.exit_code in {0, 2, 3, 4}, result.output
            assert "for a traceback" not in result.output
            check_printed(result.output)
            assert all(json.loads(line) is not None for line in result.stdout.splitlines() if options)
    for page in ("README.md", "report.html"):  # all of it has arrived, and does nothing
        assert "alert(1)" in (tmp_path / "results" / page).read_text(encoding="utf-8")
    for path in (path for path in tmp_path.rglob("*.*") if path.suffix in FILES and "records" not in path.parts):
        FILES[path.suffix](path.read_text(encoding="utf-8"))
