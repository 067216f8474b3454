"""The page in Chinese: every text that it shows is known, and nothing but texts is another than in the English page."""

import inspect
import json
import re

import numpy as np
import pytest
from builders import TOML, make_benchmark, make_record
from jinja2 import Environment
from pages import HOSTILE, PAPER, Text, noisy_epochs, record_all, with_content
from report_branches import all_contents

from resnet18.analysis.contents import contents_of
from resnet18.analysis.language.catalogue import make_catalogue
from resnet18.analysis.language.edition import UNKNOWN, own_texts
from resnet18.analysis.language.translation import Translator, missing, translated, translator
from resnet18.analysis.page import lay_out
from resnet18.analysis.page.render import FOLDER, render, script_phrases
from resnet18.analysis.page.speech import Speech
from resnet18.analysis.report import ACCEPTED, HEADER
from resnet18.measure import cgroup, host
from resnet18.records.build import STANDING_REASONS
from resnet18.records.picture import encode_picture
from resnet18.records.store import Readings
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan

SUITE = load_benchmarks()
INTRO = HEADER.partition("\n\n")[2]
COMMIT = {"commit": "0c" * 20, "dirty": True, "code_hash": "c" * 64, "data_sha256": "d" * 64}


def laid_out(benchmarks, records, picture_of=lambda _: None):
    return lay_out(contents_of(benchmarks, Readings(tuple(records), ()), picture_of), INTRO, ACCEPTED, picture_of)


def chinese(page, benchmarks=SUITE):
    """The page in Chinese, and what was asked of the catalogue."""
    speech = Speech("zh-CN", translator("zh", own_texts(benchmarks)))
    return render(page, speech, ()), speech


def rich_records():
    """Runs with pictures, marks, a commit, a failure, and reasons of every kind for what is unknown."""
    first, second, third, *others = record_all(SUITE, seeds=(0, 1))
    samples = [{"index": 3, "label": 0, "prediction": 7}, {"index": 5, "label": 1, "prediction": 1}]
    marks = ["the machine ran on its battery", "the machine slept for 9.0 s (limit 1.0 s)"]
    failed = make_record(third.spec.experiment, third.spec.execution, request=PAPER, status="crashed")
    parts = {"requested_bytes": None, "free_bytes": None}
    nulls = {key: why for key, why in failed.nulls.items() if key != "failure"}
    nulls |= {f"failure.{key}": "the attempt did not run out of memory" for key in parts}
    yield with_content(first, samples=samples, classes=["cat", "dog"], energy_j=5.0)
    known = {key: why for key, why in second.nulls.items() if not key.startswith("fingerprint.")}
    identity = {"identity": COMMIT, "numerics": second.fingerprint.numerics}
    yield with_content(second, fingerprint=identity, flags=["contaminated"], contamination=marks, nulls=known)
    yield with_content(failed, failure={"phase": "after 2 epochs", "message": "it says so", **parts}, nulls=nulls)
    yield from others


@pytest.fixture(scope="module")
def rich():
    """The page of rich records in English, in Chinese, and what was looked up."""
    png = encode_picture(np.zeros((2, 4, 4, 3), dtype=np.uint8))
    page = laid_out(SUITE, rich_records(), lambda _: png)
    return render(page, Speech(), ()), *chinese(page)


def test_every_text_of_the_page_is_known(rich):
    """Of rich records, with every control; what is missing is listed here."""
    assert () == rich[2].missing


def test_every_text_of_pages_that_reach_other_branches_is_known():
    """All reports that the markdown edition is tested with: runs that failed, files of one's own, tables begun."""
    for benchmarks, contents in all_contents():
        page = lay_out(contents, INTRO, ACCEPTED, lambda _: None)

        assert () == chinese(page, benchmarks)[1].missing


def test_no_english_sentence_is_left_in_the_page(rich):
    """A text that never passed the catalogue would be there unnoticed: no two English words follow each other."""
    raw = {"a processor", "it says so", "Out of Memory", "--scale paper"}
    own = {one for one in Text(rich[1]).pieces if not re.search("[\u4e00-\u9fff]", one)}
    commands = {one for one in own if one.startswith("resnet18 run ")}
    sentences = {one for one in own - raw - commands if re.search(r"[A-Za-z]{2,},? [a-z]{2,}", one)}

    assert [] == sorted(sentences)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.j2")), ids=lambda path: path.name)
def test_a_template_says_nothing_by_itself(path):
    """Each of its texts is asked for in the language of the page; names of files and of the suite apart."""
    kinds = {"data": str, "variable_begin": lambda _: "\0"}
    tokens = Environment(autoescape=True).lex(path.read_text(encoding="utf-8"))
    data = "".join(kinds[kind](text) for _, kind, text in tokens if kind in kinds)
    spoken = "|".join(Text.SAID)

    assert set() == set(re.findall("[A-Za-z]{3,}", re.sub("<[^>]*>", "", data))) - {"class", "num", "figures", "resnet"}
    assert [] == re.findall(rf'(?:{spoken})="[^"\0]+"', data)


def test_what_scripts_say_stands_in_the_page_in_its_language(rich):
    """All their phrases, each with its places; a page in English has no such list."""
    blocks = re.findall(r'<script type="application/json" id="(\w+)">(.*?)</script>', rich[1])
    words = json.loads(dict(blocks)["words"])

    assert set(script_phrases()) == set(words)
    assert "所列 {n2} 次运行中的 {n1} 次" == words["{n1} of {n2} listed runs"]
    assert 'id="words"' not in rich[0]


def skeleton(page):
    """Tags with those attributes that are no text."""
    spoken = {*Text.SAID, "lang", "data-status", "content"}
    return [(tag, sorted(set(one.items()) - {(key, one[key]) for key in spoken & set(one)})) for tag, one in page.tags]


def test_both_pages_have_the_same_parts(rich):
    """Tag by tag, with the same classes, ids, links and pictures, and the same curves."""
    english, own = Text(rich[0]), Text(rich[1])
    parts = [one for one in skeleton(own) if one != ("script", [("id", "words"), ("type", "application/json")])]

    assert skeleton(english) == parts
    assert ("en-GB", "zh-CN") == (english.tags[0][1]["lang"], own.tags[0][1]["lang"])


def test_what_the_report_printed_stays_as_it_was_printed(rich):
    """The words "Out of Memory" stand in rows of printed values, and in a case's row under a head of such values."""
    rows = re.findall(r'<tr><th scope="row">([^<]*)</th>(.*?)</tr>', rich[1])
    printed = {head for head, cells in rows if "Out of Memory" in cells}

    assert {"1024"} == {head for head in printed if "报告值" not in head}
    assert 3 == len(printed)


@pytest.mark.parametrize(
    "reason",
    [
        *STANDING_REASONS.values(),
        "the message does not say",
        "the attempt did not run out of memory",
        "the attempt ended as crashed before this was known",
        "one device of 4 was read: that of rank 0",
        "the fast path reads loss and hits with the step, which it does not wait for",
        "the device does not support this question (NVML code 3)",
        "NVML gave an error (NVML code 999)",
        "NVML could not be asked (OSError)",
        f"/{host.STAT} cannot be read (FileNotFoundError)",
        f"/{host.PRESSURE} is malformed",
        "no cgroup file tells a limit of processors",
        "the container has no limit of processors",
        "this system has no CLOCK_BOOTTIME",
        f"/{host.STAT} counted 1.00 s of work, less than ours alone (2.00 s)",
        f"/{host.STAT} counted 0.10 s by processor; its unit needs at least 1 s",
        f"/{host.STAT} does not list 2 of our 4 processors",
        "the span was shorter than the clock's unit",
        f"/{host.SUPPLIES} lists neither mains power nor a battery that tells its state",
    ],
)
def test_every_reason_for_an_unknown_value_is_known(reason):
    """As records give it under `nulls`."""
    assert () == missing(reason)


def test_every_reason_of_the_host_is_among_those():
    """The sources word no other: a new one belongs into the list above, and into the catalogue."""
    assert 11 == sum(inspect.getsource(one).count("raise UnknownError(") for one in (cgroup, host))


def test_texts_of_a_file_of_ones_own_stay_as_they_are(tmp_path):
    """Beside the page's own, which are Chinese."""
    mine = make_benchmark(tmp_path, TOML)
    own, speech = chinese(laid_out([mine], record_all([mine])), [mine])

    assert () == speech.missing
    assert "Which is better?" in own
    assert "学习曲线\N{FULLWIDTH COLON}A table" in own


def test_hostile_text_stays_text_in_chinese_too(tmp_path):
    """It makes no tag where it stands inside a sentence that was looked up."""
    mine = make_benchmark(tmp_path).model_copy(update={"title": HOSTILE, "question": HOSTILE})
    read = Text(chinese(laid_out([mine], record_all([mine])), [mine])[0])

    assert f"学习曲线\N{FULLWIDTH COLON}{HOSTILE}" in read.pieces
    assert not [tag for tag, one in read.tags if "onerror" in one or one.get("src") == "x"]


def test_an_unknown_text_stays_and_is_counted_at_the_foot(tmp_path):
    """As in the markdown edition."""
    mine = make_benchmark(tmp_path)
    speech = Speech("zh-CN", Translator(make_catalogue({})))
    page = render(laid_out([mine], record_all([mine])), speech, ())
    count = len(speech.missing) - 1  # the sentence that says so is not known either

    assert f"<p>{UNKNOWN.format(count)}</p></footer>" in page


def test_all_tables_with_five_seeds_take_less_than_two_megabytes_in_chinese():
    """A letter takes three bytes, a sentence half as many letters."""
    records = [
        make_record(run.experiment, run.execution, request=PAPER, epochs=noisy_epochs(run.experiment.epochs, seed))
        for seed in range(5)
        for run in plan(SUITE, PAPER, [seed], {"cpu": 1, "cuda": 4}).runs
    ]

    assert len(chinese(laid_out(SUITE, records))[0].encode()) < 2_000_000


def test_the_words_of_both_editions_are_the_same(rich):
    """A verdict's word in the page is that of the table in README.zh.md."""
    shown = set(re.findall(r'<span class="badge [\w-]+">.*?</span>([^<]+)</span>', rich[1]))

    assert {translated(word) for word in ("supported", "contradicted", "inconclusive", "not run")} == shown
