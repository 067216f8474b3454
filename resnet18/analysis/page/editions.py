"""The page in several languages, each with links to the others on top."""

from collections.abc import Collection, Iterator

from resnet18.analysis.language.edition import NAMES, TAGS, own_texts, web_page_of
from resnet18.analysis.language.translation import translator
from resnet18.analysis.page.model import Link, Page
from resnet18.analysis.page.render import render
from resnet18.analysis.page.speech import Speech
from resnet18.analysis.pages import WEB
from resnet18.spec.benchmark import Benchmark


def web_editions(page: Page, benchmarks: Collection[Benchmark], languages: Collection[str]) -> dict[str, str]:
    """Return the web pages of a report by file name: the English one and one for each language.

    Args:
        page: what they show.
        benchmarks: its tables; what a user's own files say stays as it is.
        languages: the other languages.
    """
    links = list(_links(languages))
    found = {WEB: render(page, Speech(), links[1:])}
    if languages:
        kept = own_texts(benchmarks)
        for one in languages:
            name = web_page_of(one)
            speech = Speech(TAGS[one], translator(one, kept))
            found[name] = render(page, speech, [link for link in links if link.file != name])
    return found


def _links(languages: Collection[str]) -> Iterator[Link]:
    yield Link(WEB, "English", Speech().tag)
    yield from (Link(web_page_of(one), NAMES[one], TAGS[one]) for one in languages)
