"""Markdown, as a real parser reads it: what went in comes out, and nothing else."""

import re

import pytest
from builders import TOML, changed, claims_toml, make_benchmark
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from reports import record_all, text_of

from resnet18.report.document import Code, Items, Line, Section, Strong
from resnet18.report.markdown import blocks_text, escape, table
from resnet18.spec.errors import IntegrityError, plain
from resnet18.spec.resolve import Request
from resnet18.tables.cells import Column, Table, Text, Value

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
SPECIAL = "\\`*_[]<>|~&$#-+.)1(:/@! \n\ta=\"'{}^%"
PIECES = (
    *("|", "\\|", "\\\\", "``", "&lt;", "&#124;", "<b>", "<!--", "](x)", "![", "**", "__", "~~", "1. ", "# ", "- "),
    *("---", "===", "> ", "https://x.y", "<https://x>", "www.x.y", "a@b.c", "\n\n", "\r", "    ", "$x$", "[^1]", "x"),
)
FRAGMENTS = st.text(SPECIAL, max_size=25) | st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
WRITTEN = {
    **{text: text for text in ("#a", "-5 %", "--- a", "= 3", "1.5", "a 1. b", "a # b - c", "a: b/c", "75.49% (x)")},
    **{text: f"\\{text}" for text in ("# a", "- a", "+", "-- -", "=== ")},
    "a\\b": "a\\\\b",
    "a|b": "a\\|b",
    "<b> &amp; $a$": "\\<b\\> \\&amp; \\$a\\$",
    "1. a": "1\\. a",
    "12) a": "12\\) a",
    "  a": "a",
    "two\nlines": "two lines",
    "Www.a": "Www&#46;a",
    "http://a": "http&#58;//a",
    "a@b": "a&#64;b",
    "a\u2066b\u007fc": "a b c",
}


def words(text):
    """Text as a page shows it: a row of white space is one space."""
    return " ".join(plain(text).split())


def seen(inline):
    """The text of a line, and the kinds of what it is made of."""
    return words("".join(child.content for child in inline.children)), {child.type for child in inline.children}


@pytest.mark.parametrize("text", WRITTEN)
def test_text_is_escaped_where_markdown_would_obey_it_and_nowhere_else(text):
    assert WRITTEN[text] == escape(text)


@given(FRAGMENTS)
@example("-- -")
@example("--- ")
def test_a_paragraph_shows_the_text_that_went_in(text):
    tokens = MARKDOWN.parse(blocks_text([Line(text)]))
    if not words(text):
        assert [] == tokens
        return

    assert ["paragraph_open", "inline", "paragraph_close"] == [token.type for token in tokens]
    shown, kinds = seen(tokens[1])
    assert words(text) == shown
    assert kinds <= {"text", "text_special"}


@st.composite
def tables(draw):
    columns = draw(st.integers(1, 4))
    heads = [Column(f"{draw(FRAGMENTS)}{at}", draw(st.sampled_from(["text", "number"]))) for at in range(columns)]
    row = st.lists(FRAGMENTS.map(Text), min_size=columns, max_size=columns).map(tuple)
    return Table(tuple(heads), tuple(draw(st.lists(row, min_size=1, max_size=4))))


@given(tables())
def test_a_table_of_hostile_cells_keeps_its_rows_and_columns(content):
    tokens = MARKDOWN.parse(table(content))
    kinds = [token.type for token in tokens]
    rows, columns = len(content.rows), len(content.columns)
    cells = [seen(token) for token in tokens if token.type == "inline"]
    put_in = [column.title for column in content.columns] + [cell.text for row in content.rows for cell in row]

    assert ("table_open", "table_close") == (kinds[0], kinds[-1])
    assert (1 + rows, columns, rows * columns) == tuple(kinds.count(f"{kind}_open") for kind in ("tr", "th", "td"))
    assert [words(text) for text in put_in] == [shown for shown, _ in cells]
    assert set().union(*(made_of for _, made_of in cells)) <= {"text", "text_special"}


def test_a_table_has_golden_bytes():
    content = Table(
        (Column("a|b"), Column("c", "number")),
        ((Text("007"), Text("x|y")), (Text("1e5"), Value(0.5, "percent", (0.25, 0.75)))),
    )

    assert (
        "| a\\|b   |                     c |\n"
        "|:-------|----------------------:|\n"
        "| 007    |                  x\\|y |\n"
        "| 1e5    | 0.50 % \\[0.25, 0.75\\] |" == table(content)
    )


@given(st.text(alphabet="`a <\n|", min_size=1, max_size=20).filter(lambda text: text.strip("` \n") != ""))
def test_code_shows_what_went_in_and_ends_where_it_ends(text):
    (_, inline, _) = MARKDOWN.parse(blocks_text([Line("a ", Code(text), " b")]))

    assert ["text", "code_inline", "text"] == [child.type for child in inline.children]
    assert words(text) == words(inline.children[1].content)


def test_blocks_are_written_in_order_with_headings_by_depth():
    inside = Section("# In*ner", (Section("More", (Items((Line(Strong("a"), " 1. b"),)),), is_folded=True),))
    blocks = [Section("Outer", (Line("- text ", Strong("em*")), inside))]

    assert (
        "## Outer\n\n\\- text **em\\***\n\n### # In\\*ner\n\n"
        "<details><summary>More</summary>\n\n- **a** 1. b\n\n</details>" == blocks_text(blocks)
    )


HOSTILE = (
    "<script>alert(1)</script>",
    "<!-- gone",
    "[click](javascript:alert(1)) ![seen](https://example.com/x.png)",
    "`code` ```` **bold** _em_ ~~gone~~ $x$",
    "two\n\n# heads\n\n| a | b |\n| --- | --- |\n| c | d |",
    "# a heading",
    "- an item",
    "1. an item",
    "    an indented block",
    "---",
    "&lt;b&gt; &#60;b&#62; \\<b\\> \\",
    "https://example.com www.example.com someone@example.com <https://example.com>",
    "\x1b[31mred\x00 \u202egnp.exe \u2028next",
)
FREE_TEXT = """
[printed]
memory = [{ case = "8", printed = "3 GiB" }]
derived = [{ name = "gap", kind = "difference", metric = "best_accuracy", of = "8", to = "16", printed = "1" }]

[[assumption]]
key = "width"
source = "nobody says"
"""


def shape(tokens):
    """What a document is made of, its words and their line ends left out."""
    return [
        (token.type, token.tag, shape(token.children or ()))
        for token in tokens
        if token.type not in {"text", "softbreak", "text_special"}
    ]


def hostile_record(record, text):
    """A record whose every free text is the given text."""
    fingerprint = record.fingerprint.model_dump(mode="json")
    fingerprint["identity"]["commit"] = text[:40]
    fingerprint["numerics"] |= dict.fromkeys(("gpu_model", "cpu_model", "torch"), text)
    facts = {"fingerprint": fingerprint, "flags": ["unreliable"], "unreliable_because": [text]}
    nulls = {key: text for key in record.nulls if key.startswith("memory.")}
    return changed(record, **facts, nulls=nulls, classes=[text, "other"])


def shape_of_report(folder, text):
    """The shape of a report whose every text is the given text. Names may not hold all characters."""
    name = re.sub(r"[|`<>\x00-\x1f\x7f-\x9f\u2028\u202e]", " ", text)
    check = '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }'
    mine = make_benchmark(folder, TOML + FREE_TEXT + claims_toml(check))
    rows = [row.model_copy(update={"title": f"{name} {at}"}) for at, row in enumerate(mine.table.metrics)]
    changes = {
        "title": name,
        "source": text,
        "question": text,
        "claims": tuple(claim.model_copy(update={"says": text}) for claim in mine.claims),
        "assumptions": tuple(one.model_copy(update={"source": text}) for one in mine.assumptions),
        "table": mine.table.model_copy(update={"metrics": tuple(rows), "case_title": name}),
    }
    comment = " ".join(re.sub(r"[\x00-\x1f]", " ", text).split())
    records = record_all([mine], Request(overrides=(f"epochs=1 # {comment}",)))
    report = text_of(
        [mine.model_copy(update=changes)],
        [hostile_record(record, text) for record in records],
        [IntegrityError(text, text)],
    )
    return shape(MARKDOWN.parse(report))


@pytest.fixture(scope="module")
def harmless(tmp_path_factory):
    return shape_of_report(tmp_path_factory.mktemp("harmless"), "harmless")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_report_of_hostile_texts_has_the_shape_of_a_harmless_one(text, harmless, tmp_path):
    """As a real parser reads it: no tag, link, image, heading, item, cell or emphasis more."""
    assert harmless == shape_of_report(tmp_path, text)
