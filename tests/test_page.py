"""The web page: the words and numbers of the markdown report, nothing that could be run, and nothing that is loaded."""

import base64
import hashlib
import itertools
import json
import re

import pytest
from builders import TOML, make_benchmark, make_record
from pages import HOSTILE, PAPER, Text, noisy_epochs, record_all, with_content

from resnet18.records.picture import encode_picture
from resnet18.records.store import Readings
from resnet18.report import report
from resnet18.report.contents import contents_of
from resnet18.report.page import curves, render_page
from resnet18.report.page.blocks import blocks, plain_text
from resnet18.report.page.grid import grid
from resnet18.report.page.pictures import smaller
from resnet18.report.page.render import json_block
from resnet18.report.page.runs import MOST_RUNS
from resnet18.report.report import HEADER, write_report
from resnet18.report.wording import lines_of
from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan

CLAIM = f"""
[[claim]]
id = "C9"
says = "16 beats {HOSTILE}"
check = [{{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }}]
"""


def page_of(benchmarks, records, picture_of=lambda _: None, accepted=""):
    contents = contents_of(benchmarks, Readings(tuple(records), ()), picture_of)
    return render_page(contents, HEADER.partition("\n\n")[2], accepted, picture_of)


@pytest.fixture
def mine(tmp_path):
    return make_benchmark(tmp_path, TOML + CLAIM)


@pytest.fixture(scope="module")
def suite():
    return load_benchmarks()


@pytest.fixture(scope="module")
def contents(suite):
    """Two seeds of every case."""
    return contents_of(suite, Readings(tuple(record_all(suite, seeds=(0, 1))), ()), lambda _: None)


@pytest.fixture(scope="module")
def suite_page(contents):
    return render_page(contents, HEADER.partition("\n\n")[2], "", lambda _: None)


def test_every_cell_and_sentence_of_the_markdown_report_is_in_the_page(contents, suite_page):
    """Tables, verdicts, evidence, notes, assumptions, what is left over: all but the links to figures."""
    markdown = report.markdown_of(contents, [HEADER])
    words = Text(suite_page).words
    missing = []
    for line in markdown.splitlines()[2:]:
        if line.startswith(("![", "### In short", "<", "|:", "| claim")) or not line:
            continue
        pieces = re.split(r"(?<!\\)\|", line)[1:-1] if line.startswith("|") else [line.strip().lstrip("#- ")]
        texts = [" ".join(plain_text(piece.strip()).split()) for piece in pieces]
        missing += [
            text for text in texts if text not in words and not re.match(r"[A-Z]\d (supp|contr|inco|not)", text)
        ]

    assert [] == missing


def test_every_verdict_opens_its_evidence(contents, suite_page):
    """Each claim under its word, with each line of the comparison."""
    opening = re.findall(
        r'<details class="verdict" id="[^"]+" data-word="([^"]+)">(.*?)</details>', suite_page, re.DOTALL
    )
    verdicts = [one for chapter in contents.chapters for family in chapter.verdicts.values() for one in family]

    assert [one.word for one in verdicts] == [word for word, _ in opening]
    for verdict, (_, inside) in zip(verdicts, opening, strict=True):
        assert all(line in Text(inside).words for line in (verdict.claim.says, *lines_of(verdict)))


def hostile_records(mine):
    """Records whose classes, failure and null reasons hold what would be a script."""
    ok, other, *_ = record_all([mine], seeds=(0,))
    ok = with_content(ok, classes=[HOSTILE, "\u202eb"])
    failed = make_record(other.spec.experiment, other.spec.execution, request=PAPER, status="crashed")
    parts = ("requested_bytes", "free_bytes")
    nulls = dict.fromkeys(
        [*(key for key in failed.nulls if key != "failure"), *(f"failure.{one}" for one in parts)], HOSTILE
    )
    failure = {"phase": "train", "message": HOSTILE, **dict.fromkeys(parts)}
    return [ok, with_content(failed, failure=failure, nulls=nulls)]


def test_text_from_files_stays_text(tmp_path):
    """In titles, names of cases, statements, classes, failures and reasons; direction characters are dropped."""
    mine = make_benchmark(tmp_path, TOML + CLAIM + '[[case]]\nname = "4"\nexperiment = { batch_size = 4 }\n')
    cases = (*mine.cases[:2], mine.cases[2].model_copy(update={"name": f"4 {HOSTILE}"}))
    hostile = mine.model_copy(update={"cases": cases, "title": HOSTILE, "question": HOSTILE, "source": HOSTILE})
    page = page_of([hostile], hostile_records(mine))
    read = Text(page)

    assert f"4 {HOSTILE}" in read.words
    assert f"16 beats {HOSTILE}" in read.words
    assert not [tag for tag, attributes in read.tags if "onerror" in attributes or attributes.get("src") == "x"]
    assert 2 == sum(tag == "script" for tag, _ in read.tags)
    assert "\u202e" not in page


def test_data_of_a_script_end_no_script():
    """Whatever it holds: signs of HTML and the two line ends that only JSON allows are written as escapes."""
    text = json_block({"a": f"{HOSTILE}&\u2028\u2029"})

    assert not set(text) & set("<>&\u2028\u2029")
    assert {"a": f"{HOSTILE}&\u2028\u2029"} == json.loads(text)


def test_the_policy_allows_the_pages_own_style_and_script_by_their_hashes(mine):
    """And images inside the page; nothing else."""
    read = Text(page_of([mine], record_all([mine])))
    (policy,) = [one["content"] for tag, one in read.tags if one.get("http-equiv") == "Content-Security-Policy"]

    def source(text):
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert (
        f"default-src 'none'; style-src {source(read.raw['style'])}; script-src {source(read.raw['script'])}; "
        "img-src data:; base-uri 'none'; form-action 'none'" == policy
    )


def test_nothing_is_loaded(suite_page):
    """No address but those inside the page and, as links, of its own figures; no style or handler in a tag."""
    read = Text(suite_page)
    addresses = [
        value for _, one in read.tags for key, value in one.items() if key in {"src", "href", "srcset", "action"}
    ]

    assert {"#", "d"} >= {address[0] for address in addresses}
    assert all(address.startswith(("#", "data:image/", "data:,")) for address in addresses)
    assert not [key for _, one in read.tags for key in one if key == "style" or key.startswith("on")]
    assert "url(" not in read.raw["style"]
    assert "@import" not in read.raw["style"]
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|import|eval|innerHTML)\b", read.raw["script"])


def test_every_link_in_the_page_leads_somewhere_and_ids_are_unique(suite_page):
    """Contents, verdicts of a table, setups of runs."""
    tags = Text(suite_page).tags
    ids = [one["id"] for _, one in tags if "id" in one]

    assert len(ids) == len(set(ids))
    assert {one["href"][1:] for _, one in tags if one.get("href", "").startswith("#")} <= set(ids)
    assert {one["aria-labelledby"] for _, one in tags if "aria-labelledby" in one} <= set(ids)


def test_headings_go_down_one_step_at_a_time_and_every_table_head_has_a_scope(suite_page):
    """One of the first rank; what a screen reader walks along."""
    tags = Text(suite_page).tags
    ranks = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h[1-6]", tag)]

    assert 1 == ranks[0]
    assert 1 == ranks.count(1)
    assert all(after - before <= 1 for before, after in itertools.pairwise(ranks))
    assert not [one for tag, one in tags if tag == "th" and one.get("scope") not in {"row", "col"}]


def test_the_order_of_records_changes_no_byte(mine):
    """Nor does the moment: the page holds no time but those of records."""
    records = record_all([mine], seeds=(0, 1))
    pages = {page_of([mine], order) for order in (records, records[::-1], records[1:] + records[:1])}

    assert 1 == len(pages)


def test_all_tables_with_five_seeds_take_less_than_two_megabytes(suite):
    """All cases at paper scale, every epoch of them."""
    records = [
        make_record(run.experiment, run.execution, request=PAPER, epochs=noisy_epochs(run.experiment.epochs, seed))
        for seed in range(5)
        for run in plan(suite, PAPER, [seed], {"cpu": 1, "cuda": 4}).runs
    ]
    page = page_of(suite, records)

    assert len(page.encode()) < 2_000_000
    assert "is kept here" not in page


def test_fifty_long_cases_are_thinned_and_the_page_says_so(tmp_path):
    """200 epochs of 50 cases at five seeds: a part of the epochs, with a sentence, in less than two megabytes."""
    cases = "".join(f'\n[[case]]\nname = "{at}"\nexperiment = {{ batch_size = {at} }}\n' for at in range(32, 80))
    mine = make_benchmark(tmp_path, TOML + cases)
    epochs = [noisy_epochs(200, seed) for seed in range(5)]
    records = [
        make_record(run.experiment, run.execution, request=PAPER, epochs=epochs[run.experiment.seed])
        for run in plan([mine], PAPER, range(5), {"cpu": 1}).runs
    ]
    page = page_of([mine], records)
    data = json.loads(Text(page).raw["script application/json"])

    assert len(page.encode()) < 2_000_000
    assert 50 == len(data["arms"])
    assert re.search(r"Of curves longer than 50 epochs one epoch in \d is kept here", page)
    assert all(arm["epochs"][0] == 1 and arm["epochs"][-1] == 200 for arm in data["arms"])


def test_ten_thousand_records_make_a_page_that_is_not_large(tmp_path):
    """It lists some of them, and says how many and where the others are."""
    mine = make_benchmark(tmp_path)
    (first, *_) = record_all([mine], seeds=(0,))
    records = [
        first.model_copy(update={"run_id": f"{seed:016x}", "record_hash": f"{seed:064x}", "seed": seed})
        for seed in range(10_000)
    ]
    contents = contents_of([mine], Readings(tuple(records), ()), lambda _: None)
    page = render_page(contents, HEADER.partition("\n\n")[2], "", lambda _: None)

    assert len(page.encode()) < 4_000_000
    assert f"<strong>{MOST_RUNS} of 10,000 runs are listed</strong>" in page
    assert MOST_RUNS == page.count("<tbody data-status=")


def test_curves_that_no_longer_fit_stand_as_their_figure(mine, monkeypatch):
    """A page of thousands of cases must still open; nothing is dropped silently."""
    monkeypatch.setattr(curves, "MOST_VALUES", 10)
    page = page_of([mine], record_all([mine]))

    assert "This page has no room for the numbers of more curves" in page
    assert "data:image/svg+xml" in page


def test_figures_that_no_longer_fit_are_linked(mine, monkeypatch):
    """With the words that stand for them."""
    monkeypatch.setattr("resnet18.report.page.pictures.MOST_BYTES", 0)
    monkeypatch.setattr("resnet18.report.page.pictures.FigureRoom.__init__.__defaults__", (0,))
    page = page_of([mine], record_all([mine]))

    assert '<a href="figures/mine-paper-cifar10.svg">' in page


def test_the_curves_are_the_numbers_of_the_records(mine):
    """Each seed's, and the mean of the seeds: 7 and 8 of 20 after the first epoch."""
    read = Text(page_of([mine], record_all([mine], seeds=(0, 1))))
    data = json.loads(read.raw["script application/json"])
    (places,) = data["charts"].values()
    arm = data["arms"][places[0]]

    assert ([1, 2], [0, 1]) == (arm["epochs"], arm["seeds"])
    assert {"runs": [[35, 70], [40, 75]], "mean": [37.5, 72.5]} == arm["lines"]["clean_accuracy"]
    assert {"runs": [[2.0, 2.0], [2.0, 2.0]], "mean": [2.0, 2.0]} == arm["lines"]["train_loss"]


def test_a_case_without_a_result_stands_in_the_legend_with_the_reason(mine):
    """It has no curve, and its box cannot be ticked."""
    ok, other = record_all([mine], seeds=(0,))
    failed = make_record(other.spec.experiment, other.spec.execution, request=PAPER, status="oom_device")
    page = page_of([mine], [ok, failed])

    assert re.search(r'<tr class="absent">\s*<th scope="row"><label><input type="checkbox" disabled>', page)
    assert "Out of Memory" in Text(page).words


def test_a_run_says_where_it_comes_from(mine):
    """Ids, hashes, versions, and the reason of every null."""
    (record, *_) = record_all([mine], seeds=(0,))
    words = Text(page_of([mine], [record])).words
    facts = [record.run_id, record.arm_id, record.experiment_id, record.execution_id, record.result_hash]
    facts += [
        record.record_hash,
        record.fingerprint.identity.code_hash,
        "2.14.1",
        *record.nulls,
        *record.nulls.values(),
    ]

    assert [] == [fact for fact in facts if fact not in words]


def test_pictures_of_test_images_are_part_of_the_page_where_they_were_kept(mine):
    """Each image as a PNG of its own; a damaged file leaves the labels."""
    import numpy as np  # noqa: PLC0415 - one use

    (record, *_) = record_all([mine], seeds=(0,))
    samples = [{"index": 3, "label": 0, "prediction": 1}, {"index": 5, "label": 1, "prediction": 1}]
    record = with_content(record, samples=samples, classes=["cat", "dog"])
    png = encode_picture(np.zeros((2, 4, 4, 3), dtype=np.uint8))

    with_pictures, damaged = page_of([mine], [record], lambda _: png), page_of([mine], [record], lambda _: b"no PNG")

    assert 2 == with_pictures.count('<img src="data:image/png;base64,')
    assert "data:image/png" not in damaged
    for page in (with_pictures, damaged):
        assert "Image 3 True cat Predicted dog wrong" in " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_a_page_that_nobody_here_made_is_not_replaced(mine, tmp_path):
    """Somebody may point --results at a project."""
    (tmp_path / "report.html").write_text("<p>my page</p>", encoding="utf-8")

    with pytest.raises(SpecError, match="was not made by this command"):
        write_report(tmp_path, [mine], Readings(tuple(record_all([mine])), ()))
    assert not (tmp_path / "README.md").exists()


def test_the_page_stands_beside_the_readme_which_links_it(mine, tmp_path):
    """It is replaced by the next one."""
    for _ in range(2):
        path = write_report(tmp_path, [mine], Readings(tuple(record_all([mine])), ()))

    assert "[report.html](report.html)" in path.read_text(encoding="utf-8")
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_accepted_times_are_said_on_top(mine):
    """As in the markdown report."""
    assert "<strong>Accepted.</strong>" in page_of([mine], record_all([mine]), accepted="**Accepted.**")


def test_markdown_is_read_back_as_it_was_meant():
    """Escapes, entities, code with ticks inside, bold, lists and tables."""
    (paragraph, items, table) = blocks(
        [r"a \*b\* &#64;c **d \< e** `f*g` `` h`i ``", "", r"- j\|k", "- l", "", "| m |", "|:--|", r"| n\|o |"]
    )

    assert ["a *b* @c ", "d < e", " ", "f*g", " ", "h`i"] == [span.text for span in paragraph.lines[0]]
    assert ["", "strong", "", "code", "", "code"] == [span.tag for span in paragraph.lines[0]]
    assert ["j|k", "l"] == [line[0].text for line in items.lines]
    assert ("m", "n|o") == (table.grid.heads[0].text, table.grid.rows[0][0].text)


def test_a_column_is_set_as_most_of_its_cells_are():
    """A sentence that begins with a number is no number among sentences, nor a word a sentence among numbers."""
    table = grid(
        "", ["8", "says", "value"], [["8", "200 epochs do", "12.5"], ["9", "falls", "fp32"], ["1", "-", "3 %"]]
    )

    assert [[False, False, True]] * 4 == [[cell.is_number for cell in row] for row in (table.heads, *table.rows)]


def test_a_column_of_dashes_and_words_is_no_column_of_numbers():
    """Where most statements have no verdict. One number makes it a column of numbers."""
    table = grid(
        "", ["claim", "here", "there"], [["A", "open", "-"], ["B", "\N{EN DASH}", "7"], ["C", *"\N{EN DASH}" * 2]]
    )

    assert [False, False, True] == [cell.is_number for cell in table.heads]


def test_a_smaller_figure_keeps_its_texts_and_references():
    """A case may be called like an attribute; paths become steps."""
    svg = (
        '<?xml version="1.0"?><svg><defs><style>*{}</style></defs><g id="axes_1">\n'
        '<path id="m1" d="M 1 2 \nL 3 4.04 \nz" style="fill: none"/></g>\n'
        '<use xlink:href="#m1"/><text style="fill: none"> id="x" style="y"</text></svg>'
    )

    assert (
        "<svg><defs><style>*{}.a0{fill: none}</style></defs><g><path id='i0' d='M1 2l2 2z' class='a0'/></g>"
        "<use xlink:href='#i0'/><text class='a0'> id=\"x\" style=\"y\"</text></svg>" == smaller(svg)
    )
