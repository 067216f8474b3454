"""The report in Chinese: every fragment is known, nothing but words changes, what is not ours stays as it is."""

import re
from collections import Counter
from pathlib import Path

import pytest
from builders import TOML, make_benchmark, make_record
from report_branches import reports
from typer.testing import CliRunner

import resnet18
from resnet18.analysis.language.catalogue import catalogue_of
from resnet18.analysis.language.document import translated_document
from resnet18.analysis.language.edition import UNKNOWN, editions, own_texts, texts_of
from resnet18.analysis.language.markup import BOLD, CODE
from resnet18.analysis.language.translation import missing, translated, translator
from resnet18.analysis.markdown import escape
from resnet18.analysis.report import render_report, write_report
from resnet18.cli import app
from resnet18.measure import device_facts, nvml_device
from resnet18.measure.contamination import contamination
from resnet18.records.store import Readings
from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmarks
from resnet18.spec.metric import METRICS

SOURCES = Path(resnet18.__file__).parent
SUITE = load_benchmarks()


@pytest.fixture(scope="module")
def pages():
    """Of each report: English, Chinese, and what was looked up."""
    found = []
    for benchmarks, text in reports():
        done = translated_document(text, translator("zh", own_texts(benchmarks)))
        found.append((text, done.text, done))
    return found


def test_every_fragment_of_the_report_is_known(pages):
    """What is missing is listed here."""
    assert [] == sorted({one for _, _, done in pages for one in done.missing})


def test_no_english_joint_is_left_inside_a_chinese_sentence(pages):
    """A place for a name must not take in half a sentence, which would stay in English unnoticed."""
    for _, chinese, done in pages[:5]:
        sentences = re.sub(r"<!--.*|`[^`]*`", "", chinese)

        assert () == done.missing
        assert [] == re.findall(r".* (?:within|above|below|and|or|to|is|seeds|threads) .*", sentences)


def numbers(text):
    return Counter(re.findall(r"\d+(?:[.,]\d+)*", text))


def codes(text):
    return Counter(re.findall(r"`+[^`]+`+", text))


def links(text):
    return Counter(re.findall(r"\]\(([^)]*)\)", text))


@pytest.mark.parametrize("taken_from", [numbers, codes, links])
def test_nothing_that_is_no_word_is_lost_or_changed(taken_from, pages):
    """Numbers, code with its hashes and commands, and links are the same in both languages, each as often."""
    for english, chinese, _ in pages:
        assert taken_from(english) == taken_from(chinese)


def shape(text):
    lines = text.split("\n")
    return [len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")]


def test_tables_lists_and_headings_have_the_same_shape(pages):
    """Row by row, cell by cell."""
    for english, chinese, _ in pages:
        assert shape(english) == shape(chinese)
        for start in ("#", "- ", "  - ", "![", "<"):
            assert [[line.startswith(start) for line in text.split("\n")].count(True) for text in (english,)] == [
                [line.startswith(start) for line in text.split("\n")].count(True) for text in (chinese,)
            ]


def test_what_the_report_printed_stays_as_it_was_printed(pages):
    """The words "Out of Memory" are translated only where they were measured."""
    _, chinese, _ = pages[0]
    rows = {line.split("|")[1].strip(): line for line in chinese.split("\n") if line.startswith("| 测试准确率")}

    assert [True, False] == [
        "Out of Memory" in line for head, line in rows.items() if "干净" in head or "报告值" in head
    ]
    assert any("显存不足" in line for line in rows.values())


def test_every_text_of_the_suites_own_files_is_known():
    """Titles, questions, cases, statements, assumptions; what the lab report printed is not to be translated."""
    printed = {text for one in SUITE for case in one.cases for text in case.reported.values()}
    printed |= {one.printed for benchmark in SUITE for one in benchmark.printed.derived}
    printed |= {f"{one.key.removeprefix('protocol.')}: {one.source}" for each in SUITE for one in each.assumptions}
    texts = {text for one in SUITE for text in texts_of(one)}

    assert [] == sorted(text for text in texts - printed if missing(text))


def test_every_metric_is_known():
    """By its title, and what it needs."""
    assert [] == [one for facts in METRICS.values() for one in (facts.title, facts.needs) if missing(one)]


CONDITIONS = {
    "cpu_steal_share": 0.2,
    "cpus": 2,
    "cpu_others_share": 0.5,
    "cpu_pressure_share": 0.5,
    "on_battery": True,
    "suspended_s": 9.0,
    "gpu_other_processes": 2,
    "gpu_throttle": ["HwThermalSlowdown"],
    "gpu_clock_mhz": [500, 900, 1000],
}


def test_every_reason_to_doubt_a_time_is_known():
    """As many as there are checks."""
    found = contamination(CONDITIONS, (1.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0))

    assert 9 == len(found)
    assert [] == [one for one in found if missing(one)]


@pytest.mark.parametrize(
    "reason",
    [
        *nvml_device.REASONS.values(),
        nvml_device.NO_UUID,
        nvml_device.SPLIT,
        device_facts.UNREAD,
        device_facts.NOT_LISTED,
        device_facts.NOT_BY_PROCESS,
        device_facts.ZERO_THOUGH_USED,
        device_facts.ZERO,
    ],
)
def test_every_reason_for_missing_memory_is_known(reason):
    """In the line that names its source."""
    assert () == missing(f"process (NVML): {reason}.")


def test_no_phrase_of_the_catalogue_is_dead(pages):
    """Each is used by a report or by a file of the suite, or the sources word it for a case that no record here has."""
    used = {phrase for _, _, done in pages for found in done.fragments for phrase in found.phrases}
    used |= {text for one in SUITE for text in texts_of(one)}
    used |= translator("zh").find("x, medians on one, 2 threads and another, 4 threads").phrases
    for version in ("2.14", "unknown"):  # made-up records have no commit
        used |= (
            translator("zh")
            .find(f"code 0a, commit 0b with changes, torch {version}; code 0a, commit 0b, torch {version}")
            .phrases
        )
    paths = [path for kind in ("*.py", "*.j2", "*.js") for path in SOURCES.rglob(kind)]
    source = "".join(path.read_text(encoding="utf-8") for path in paths)
    words = re.sub(r'"\s+f?"', "", source).replace('\\"', '"')
    needles = {one.phrase: one.needle for one in catalogue_of("zh").templates}

    def written(phrase):
        """The longest part of a phrase as sources write it: code there has backticks already."""
        return needles.get(phrase, phrase).strip(' :;,()"').replace(BOLD, "**").replace(CODE, "")

    assert [] == sorted(one for one in catalogue_of("zh").phrases - used if written(one) not in words)


def test_texts_of_a_file_of_ones_own_stay_as_they_are(tmp_path):
    """Even where the report itself words the same; what stands around them is Chinese."""
    text = TOML.replace('"A table"', '"not run"').replace('"Which is better?"', '"holds: {t1} {0} | a; b, no records?"')
    own = make_benchmark(tmp_path, text)
    report = render_report([own], Readings((make_record(),), ()))[0]
    found = translated_document(
        f"### not run\n\n{escape(own.question)}\n\n- judged on CIFAR-10 alone", translator("zh", own_texts([own]))
    )

    assert f"### not run\n\n{escape(own.question)}\n\n- 只在 CIFAR-10 上判定" == found.text
    assert report


def test_an_unknown_text_stays_and_is_counted():
    """In the last line of the page."""
    pages_ = editions("<!-- x -->\n\n# Nobody knows this\n\n- no records\n", [], ["zh"])

    assert "# Nobody knows this\n\n- 没有记录\n" in pages_["README.zh.md"]
    assert pages_["README.zh.md"].endswith(f"{translated(UNKNOWN.format(1))}\n")


def test_each_page_links_the_other_in_a_line_on_top(pages):
    """Below the comment that says whose page it is; without another language there is no such line."""
    english = pages[0][0]
    both = editions(english, SUITE, ["zh"])

    assert "[中文](README.zh.md)" == both["README.md"].split("\n")[2]
    assert "[English](README.md)" == both["README.zh.md"].split("\n")[2]
    assert {"README.md": english} == editions(english, SUITE, [])


def test_the_same_report_gives_the_same_page(pages):
    """Whatever was translated before."""
    assert pages[1][1] == translated_document(pages[1][0], translator("zh")).text


def test_a_chinese_page_that_is_there_is_never_left_behind(tmp_path):
    """It is written again with the English one, and one that somebody else wrote is not replaced."""
    readings = Readings((make_record(),), ())
    write_report(tmp_path, SUITE, readings)
    assert not (tmp_path / "README.zh.md").exists()
    write_report(tmp_path, SUITE, readings, language="zh")
    page = (tmp_path / "README.zh.md").read_text(encoding="utf-8")
    write_report(tmp_path, SUITE, Readings((), ()))
    assert page != (tmp_path / "README.zh.md").read_text(encoding="utf-8")
    (tmp_path / "README.zh.md").write_text("# 我的", encoding="utf-8")
    with pytest.raises(SpecError, match="was not made by this command"):
        write_report(tmp_path, SUITE, readings)


@pytest.mark.parametrize("command", ["report", "run"])
def test_another_language_is_refused_with_those_that_are_allowed(command):
    """Before anything is run."""
    done = CliRunner().invoke(app, [command, "--lang", "fr"])

    assert (2, True) == (done.exit_code, 'error: --lang "fr": unknown (allowed: en, zh)' in done.output)
