"""The commands that README.md and docs/ tell people to type."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
FENCED = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:make|(?:\.venv/bin/)?resnet18) [a-z-][^`\n]*)`")

Command = tuple[str, ...]


def commands() -> Iterator[tuple[str, Command]]:
    """Yield each command once, as words, with the page that names it: in blocks for a shell, and in sentences."""
    seen = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        in_blocks = "\n".join(FENCED.findall(text)).replace("\\\n", "").splitlines()
        for line in (*in_blocks, *INLINE.findall(FENCED.sub("", text))):
            words = tuple(shlex.split(line, comments=True))
            if words and words not in seen:
                seen.add(words)
                yield str(page.relative_to(ROOT)), words


def calls_of(command: Command) -> Iterator[list[str]]:
    """Yield the arguments of each call of `resnet18` in a command, also behind variables and `|`."""
    for number, word in enumerate(command):
        if word.rpartition("/")[2] == "resnet18":
            yield list(command[number + 1 :])
