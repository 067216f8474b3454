"""Figures inside the page, as small as they can be without looking different.

Matplotlib writes every place in absolute hundredths of a point, the whole look of every mark, and a name for every
group. On a screen a tenth of a point is not seen, and steps from one place to the next are short numbers.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote

from resnet18.report.illustrations import Figure

_BEFORE = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
_BETWEEN = re.compile(r">\s*\n\s*<")
_TAG = re.compile(r"<[^<>]+>")
"""In texts and values of attributes, both signs are written as entities."""
_ID = re.compile(r' id="([^"]*)"')
_USE = re.compile(r"""(?<=href="#)[^"]+|(?<=url\(#)[^)]+""")
_PATH = re.compile(r' d="([^"]*)"')
_POINT = re.compile(r"\s*([ML])\s*(-?[\d.]+)\s+(-?[\d.]+)")
_STYLE = re.compile(r' style="([^"]*)"')
_QUOTED = re.compile(r"""="([^"']*)\"""")
_SAFE = " !$'()*+,-./:;=?@_~{}|^"
"""What stands for itself in an address inside double quotes; everything else is written as its bytes."""


MOST_BYTES = 600_000
"""Of all figures in one page, as they stand in it."""


@dataclass(frozen=True)
class FigureShown:
    """A figure of the markdown report."""

    file: str
    alt: str
    uri: str
    """Empty where the page has no room for it."""


@dataclass
class FigureRoom:
    """What is left for figures while the page is laid out."""

    bytes: int = MOST_BYTES

    def show(self, file: str, figure: Figure) -> FigureShown:
        """Return a figure, inside the page as long as there is room."""
        uri = picture_uri(figure.svg)
        if len(uri) > self.bytes:
            uri = ""
        self.bytes -= len(uri)
        return FigureShown(file, figure.alt, uri)


def picture_uri(svg: bytes) -> str:
    """Return a figure as a data URI."""
    return f"data:image/svg+xml,{quote(smaller(svg.decode()), safe=_SAFE)}"


def smaller(svg: str) -> str:
    """Return the figure with shorter paths, each look once, and without names that nothing uses."""
    text = _BETWEEN.sub("><", _BEFORE.sub("", svg))
    used = {name: f"i{at}" for at, name in enumerate(dict.fromkeys(_USE.findall("".join(_TAG.findall(text)))))}
    looks: dict[str, str] = {}

    def look(found: re.Match[str]) -> str:
        return f' class="{looks.setdefault(found[1], f"a{len(looks)}")}"'

    def name(found: re.Match[str]) -> str:
        return f' id="{used[found[1]]}"' if found[1] in used else ""

    def tag(found: re.Match[str]) -> str:
        parts = _STYLE.sub(look, _ID.sub(name, found[0]).replace("\n", " "))
        parts = _USE.sub(lambda use: used[use[0]], _PATH.sub(lambda path: f' d="{_shorter(path[1])}"', parts))
        return _QUOTED.sub(r"='\1'", parts)

    text = _TAG.sub(tag, text)
    rules = "".join(f".{key}{{{style}}}" for style, key in looks.items())
    return text.replace("</style>", f"{rules}</style>", 1)


def _shorter(path: str) -> str:
    """Return a path of straight lines as steps in tenths of a point; any other path as it is."""
    body, end = (path.strip().removesuffix("z"), "z") if path.strip().endswith("z") else (path, "")
    points = _POINT.findall(body)
    if len(points) < 2 or _POINT.sub("", body).strip():
        return path
    parts, at = [], (0, 0)
    for command, *place in points:
        here = round(10 * float(place[0])), round(10 * float(place[1]))
        step = here if command == "M" else (here[0] - at[0], here[1] - at[1])
        parts.append(f"{command if command == 'M' else 'l'}{_tenths(step[0])} {_tenths(step[1])}")
        at = here
    return "".join(parts).replace(" -", "-") + end


def _tenths(number: int) -> str:
    """Return tenths as the shortest decimal."""
    return f"{number / 10:g}"
