"""The files of a report: its pages and figures, of which only its own are ever replaced or removed."""

import re
from collections.abc import Mapping
from pathlib import Path

from resnet18.records import disk
from resnet18.spec.errors import SpecError

README = "README.md"
WEB = "report.html"
MADE_BY = "<!-- Made by `resnet18 report` from the records beside it. Do not edit: run it again. -->"
"""The first line of the README."""


def own_page(path: Path, beginning: str = MADE_BY) -> str:
    """Return the page that is there, or how one of this kind begins where there is none.

    Raises:
        SpecError: somebody else wrote it.
    """
    old = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else beginning
    if not old.startswith(beginning):
        raise SpecError(
            str(path),
            "was not made by this command, which would replace it",
            next_step="choose a folder with --results, or move the file away",
        )
    return old


def write_pages(results: Path, pages: Mapping[str, str], figures: Mapping[str, bytes], old: str) -> None:
    """Write all, then remove the figures that only the old page names: a report is never without its own."""
    folder = results / "figures"
    disk.make_folder(folder)
    for name, content in figures.items():
        disk.replace(folder / name, content)
    for name, text in pages.items():
        disk.replace(results / name, text.encode())
    named = set(re.findall(r"\(figures/([a-z0-9_-]+\.svg)\)", old))
    for name in named - set(figures):
        (folder / name).unlink(missing_ok=True)
