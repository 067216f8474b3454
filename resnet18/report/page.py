"""Write a document as a web page: one file without any request.

The page may load nothing. Its content security policy allows its own style sheet and script, by their hashes, and
images that are part of it; text from records that came to be read as a script would not be run.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from resnet18.records.arrays import decode_picture, encode_picture
from resnet18.report.document import WORDS, Document, Predictions
from resnet18.report.page_data import RUN_COLUMNS, SHORT, charts_in, curve_data, run_list
from resnet18.spec.errors import plain
from resnet18.tables.cells import missing

WEB = Path(__file__).parent / "web"
MADE_HERE = "<!doctype html>\n<!-- Made by `resnet18 report` from the records beside it. -->"
SCRIPTS = ("page.js", "plot.js", "curves.js")
"""In this order: a later file may use functions of an earlier one."""
MOST_BYTES = 900_000
"""Of all figures in one page, as they stand in it."""
ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
"""What could end a script element, or a line of one."""
SAFE = " !$'()*+,-./:;=?@_~{}|^"
"""What stands for itself in an address inside double quotes; everything else is written as its bytes."""


def write_page(document: Document) -> str:
    """Return the web page of a document."""
    style = (WEB / "page.css").read_text(encoding="utf-8")
    parts = "\n".join((WEB / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f"(function () {{\n'use strict';\n{parts}}}());\n"  # nothing of it is global
    curves = curve_data(list(charts_in(document.sections)))
    body = (
        _environment()
        .get_template("page.html.j2")
        .render(
            document=document,
            curves=curves,
            runs=run_list(document.runs),
            run_columns=RUN_COLUMNS,
            uris=figure_uris(document),
            short_curve=SHORT,
            words=WORDS,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - the same
            data=Markup(json_block(curves.content)),  # noqa: S704 - escaped there
            policy=policy(style, script),
        )
    )
    return f"{MADE_HERE}\n{body}\n"


def policy(style: str, script: str) -> str:
    """Return the content security policy: nothing but this style sheet, this script, and images inside the page."""
    return (
        f"default-src 'none'; style-src '{_source(style)}'; script-src '{_source(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def json_block(content: dict[str, Any]) -> str:
    """Return data as JSON that ends no script element, whatever its texts hold."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).translate(ESCAPES)


def figure_uris(document: Document) -> dict[str, str]:
    """Return figures by file name as data URIs, as many as the page has room for; predictions are drawn as tables."""
    found, room = {}, MOST_BYTES
    for file, figure in document.figures.items():
        uri = f"data:image/svg+xml,{quote(figure.svg, safe=SAFE)}"
        if len(uri) <= room:
            room -= len(uri)
            found[file] = uri
    return found


def sample_uris(predictions: Predictions) -> list[str]:
    """Return each sample image as a data URI; empty where there is no picture, a damaged one, or of other samples."""
    try:
        images = decode_picture(predictions.picture) if predictions.picture else None
    except ValueError:
        images = None
    if images is None or len(images) != len(predictions.samples):
        return [""] * len(predictions.samples)
    files = (encode_picture(image[None]) for image in images)
    return [f"data:image/png;base64,{base64.b64encode(file).decode()}" for file in files]


def class_name(predictions: Predictions, label: int) -> str:
    """Return the name of a class; a network may have more outputs than the data set has classes."""
    return predictions.classes[label] if label < len(predictions.classes) else f"(no class {label})"


def shade(count: int, total: int) -> int:
    """Return a share in tenths, rounded up: any count above 0 is seen."""
    return min(10, -(-10 * count // total)) if total else 0


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(WEB),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.globals |= {"kind": lambda part: type(part).__name__, "sample_uris": sample_uris}
    made.globals |= {"class_name": class_name, "shade": shade, "missing": missing}
    return made


def _shown(value: object) -> object:
    """Return text without control and direction characters, which show a name in another order than it has."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
