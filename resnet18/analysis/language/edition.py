"""The report in several languages: a README and a web page for each, and links on top that lead to the others."""

from collections.abc import Collection, Iterator
from pathlib import Path

from resnet18.analysis.language.catalogue import LANGUAGES
from resnet18.analysis.language.document import translated_document
from resnet18.analysis.language.translation import translator
from resnet18.analysis.pages import ENGLISH, WEB, link_to
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.load import load_benchmarks

NAMES = {"zh": "中文"}
TAGS = {"zh": "zh-CN"}
"""As HTML names them."""
UNKNOWN = "Texts that no translation is known of and that stay in English: {}."
"""The last line of a page in another language, where there are such."""


def page_of(language: str) -> str:
    """Return the file name of the report in another language."""
    return f"README.{language}.md"


def web_page_of(language: str) -> str:
    """Return the file name of the web page in another language."""
    return f"report.{language}.html"


def written_in(results: Path, language: str) -> list[str]:
    """Return the other languages in which a report is written: the one asked for, and those that are there already.

    A page that was left as it was would soon tell something else than the English one.
    """
    return [
        one
        for one in LANGUAGES
        if one == language or any((results / name).is_file() for name in (page_of(one), web_page_of(one)))
    ]


def editions(text: str, benchmarks: Collection[Benchmark], languages: Collection[str]) -> dict[str, str]:
    """Return the pages of a report by file name: the English one and one for each language, with links on top.

    Args:
        text: the English report.
        benchmarks: its tables; what a user's own files say stays as it is.
        languages: the other languages.
    """
    if not languages:
        return {ENGLISH: text}
    pages = {ENGLISH: _linked(text, " · ".join(f"[{NAMES[one]}]({page_of(one)})" for one in languages))}
    kept = own_texts(benchmarks)
    for one in languages:
        other, own = translator(one, kept), text.replace(link_to(WEB), link_to(web_page_of(one)))
        found = translated_document(own, other)
        rest = f"\n{other.find(UNKNOWN.format(len(found.missing))).text}\n" if found.missing else ""
        pages[page_of(one)] = _linked(found.text + rest, f"[English]({ENGLISH})")
    return pages


def _linked(text: str, links: str) -> str:
    """Return the page with links in a line of its own below the comment that tells whose it is."""
    return text.replace("\n\n", f"\n\n{links}\n\n", 1)


def own_texts(benchmarks: Collection[Benchmark]) -> frozenset[str]:
    """Return the texts of a user's own files, those apart that the suite's files have too."""
    suite = load_benchmarks()
    of_suite = {text for one in suite for text in texts_of(one)}
    return frozenset(text for one in benchmarks if one not in suite for text in texts_of(one)) - of_suite


def texts_of(benchmark: Benchmark) -> Iterator[str]:
    """Yield every text of a benchmark file that a report shows."""
    table = benchmark.table
    yield from (benchmark.report_name, benchmark.title, benchmark.source, benchmark.question)
    yield from (table.case_title, table.case_title.lower())
    yield from (one.title for one in table.factors)
    yield from (one.title for one in table.metrics)
    for case in benchmark.cases:
        yield from (case.name, *case.reported.values())
    yield from (claim.says for claim in benchmark.claims)
    for assumption in benchmark.assumptions:
        yield from (assumption.source, f"{assumption.key.removeprefix('protocol.')}: {assumption.source}")
    for hypothesis in benchmark.hypotheses:
        yield hypothesis.question
        yield from (candidate.name for candidate in hypothesis.candidates)
    for derived in benchmark.printed.derived:
        yield from (derived.name, derived.printed)
