"""The web page: the words and numbers of the document, nothing that could be run, and nothing that is loaded."""

import base64
import hashlib
import html
import itertools
import json
import re
from html.parser import HTMLParser

import pytest
from builders import TOML, make_benchmark
from markdown_it import MarkdownIt
from reports import CLAIM, HOSTILE, made_of, plain_epochs, record_all

from resnet18.report.markdown import write_markdown
from resnet18.report.page import write_page
from resnet18.spec.load import load_benchmarks

MARKDOWN = MarkdownIt("commonmark").enable("table")


class Page(HTMLParser):
    """A page's tags with their attributes, and what stands in its style and scripts, as a parser reads it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.raw = [], {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.cdata_elem:
            tag, attributes = self.tags[-1]
            key = f"{tag} {attributes.get('type', '')}".strip()
            self.raw[key] = self.raw.get(key, "") + data


def words_of(text):
    """All that a page shows, on one line."""
    return " ".join(html.unescape(re.sub(r"<(style|script).*?</\1>|<[^>]*>", "", text, flags=re.DOTALL)).split())


def page_of(benchmarks, records):
    return write_page(made_of(benchmarks, records))


@pytest.fixture
def mine(tmp_path):
    return make_benchmark(tmp_path, TOML + CLAIM.replace("16 <b>beats</b> 8", f"16 beats {HOSTILE}"))


@pytest.fixture(scope="module")
def written():
    """Two seeds of every case of the suite: the report, and its page."""
    suite = load_benchmarks()
    document = made_of(suite, record_all(suite, seeds=(0, 1), epochs=plain_epochs(2)))
    return document, write_page(document)


@pytest.fixture(scope="module")
def read(written):
    return Page(written[1])


def test_every_cell_and_sentence_of_the_markdown_report_is_in_the_page(written):
    """Tables, verdicts, evidence, notes, assumptions, what is left over: all but images, and titles of their own."""
    document, suite_page = written
    words = words_of(suite_page)
    pages = "\n\n".join(write_markdown(document, "report.html").values())
    tokens = [token for token in MARKDOWN.parse(pages) if token.type == "inline"]
    texts = [
        " ".join("".join(child.content for child in token.children if child.type != "image").split())
        for token in tokens
    ]
    own = re.compile(r"To compare curves|Parts$|All parts$|[A-Z]\d[a-c]? \w[\w ]+: ")

    assert len(texts) > 500
    assert [] == [text for text in texts if text not in words and not own.match(text)]


def test_the_policy_allows_the_pages_own_style_and_script_by_their_hashes(read):
    (policy,) = [one["content"] for _, one in read.tags if one.get("http-equiv") == "Content-Security-Policy"]
    style, script = (
        f"'sha256-{base64.b64encode(hashlib.sha256(read.raw[tag].encode()).digest()).decode()}'"
        for tag in ("style", "script")
    )

    assert (
        f"default-src 'none'; style-src {style}; script-src {script}; "
        "img-src data:; base-uri 'none'; form-action 'none'" == policy
    )


def test_nothing_is_loaded(read):
    keys = {"src", "href", "srcset", "action"}
    addresses = [value for _, one in read.tags for key, value in one.items() if key in keys]

    assert all(address.startswith(("#", "data:image/", "data:,")) for address in addresses)
    assert not [key for _, one in read.tags for key in one if key == "style" or key.startswith("on")]
    assert not re.search(r"url\(|@import", read.raw["style"])
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|import|eval|innerHTML)\b", read.raw["script"])


def test_every_link_in_the_page_leads_somewhere_and_ids_are_unique(read):
    ids = [one["id"] for _, one in read.tags if "id" in one]

    assert len(ids) == len(set(ids))
    assert {one["href"][1:] for _, one in read.tags if one.get("href", "").startswith("#")} <= set(ids)
    assert {one["aria-labelledby"] for _, one in read.tags if "aria-labelledby" in one} <= set(ids)


def test_headings_go_down_one_step_at_a_time_and_every_table_head_has_a_scope(read):
    ranks = [int(tag[1]) for tag, _ in read.tags if re.fullmatch(r"h[1-6]", tag)]

    assert (1, 1) == (ranks[0], ranks.count(1))
    assert all(after - before <= 1 for before, after in itertools.pairwise(ranks))
    assert not [one for tag, one in read.tags if tag == "th" and one.get("scope") not in {"row", "col"}]


def test_a_page_lists_some_of_many_runs_and_says_where_the_others_are(mine, monkeypatch):
    monkeypatch.setattr("resnet18.report.page.MOST_RUNS", 3)
    page = page_of([mine], record_all([mine], seeds=(0, 1)))

    assert "<strong>3 of 4 runs are listed</strong>" in page
    assert 3 == page.count("<tbody data-status=")


def test_a_figure_for_which_there_is_no_room_stands_as_a_link(mine, monkeypatch):
    monkeypatch.setattr("resnet18.report.page.MOST_BYTES", 0)
    with_links = page_of([mine], record_all([mine], seeds=(0, 1)))

    assert '<a href="figures/mine-paper-cifar10-jpeg.svg">' in with_links


def test_the_curves_are_the_numbers_of_the_records(mine):
    read = Page(page_of([mine], record_all([mine], seeds=(0, 1), epochs=plain_epochs(2))))
    ((first, _),) = json.loads(read.raw["script application/json"]).values()

    assert [0, 1] == first["seeds"]
    assert {"runs": [[50, 50], [60, 60]], "mean": [55, 55]} == first["lines"]["clean_accuracy"]
    assert {"runs": [[2.0, 2.0], [2.0, 2.0]], "mean": [2.0, 2.0]} == first["lines"]["train_loss"]


def test_a_run_says_where_it_comes_from(mine):
    (record, *_) = record_all([mine])
    words = words_of(page_of([mine], [record]))
    facts = [record.run_id, record.arm_id, record.experiment_id, record.execution_id, record.result_hash]
    facts += [record.record_hash, record.fingerprint.identity.code_hash, "2.14.1"]

    assert [] == [fact for fact in (*facts, *record.nulls, *record.nulls.values()) if fact not in words]
