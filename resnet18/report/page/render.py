"""Write the page: data and texts into the template, styles and scripts into the page, their hashes into its policy.

The page may load nothing. Its content security policy allows its own style sheet and script, by their hashes, and
images that are part of it; text from records that came to be read as a script would not be run.
"""

import hashlib
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from resnet18.report.contents import Contents
from resnet18.report.illustrations import PictureOf
from resnet18.report.page.blocks import blocks
from resnet18.report.page.curves import SHORT
from resnet18.report.page.layout import lay_out
from resnet18.report.page.runs import HEADS
from resnet18.spec.errors import plain

FOLDER = Path(__file__).parent
MADE_HERE = "<!doctype html>\n<!-- Made by `resnet18 report` from the records beside it. -->"
SCRIPTS = (
    "theme.js",
    "verdicts.js",
    "tables.js",
    "runs.js",
    "scales.js",
    "plot.js",
    "reading.js",
    "curves.js",
    "printing.js",
)
"""In this order: a later one may use an earlier one's functions."""
ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
"""What could end a script element, or a line of one."""


def render_page(contents: Contents, intro: str, accepted: str, picture_of: PictureOf) -> str:
    """Return the web page of a report. The order of its records changes no byte.

    Args:
        contents: what the report consists of.
        intro: markdown on top, its heading first.
        accepted: markdown that says that unreliable times were accepted; empty where they were not.
        picture_of: gives the picture beside a record.
    """
    page, style, script = lay_out(contents, intro, accepted, picture_of), _read("page.css"), _script()
    body = (
        _environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - the same
            data=Markup(json_block(page.curves.content)),  # noqa: S704 - escaped there
            policy=policy(style, script),
            run_heads=HEADS,
            short_curve=SHORT,
        )
    )
    return f"{MADE_HERE}\n{body}\n"


def policy(style: str, script: str) -> str:
    """Return the content security policy: nothing but this style sheet, this script, and images inside the page."""
    return (
        f"default-src 'none'; style-src '{_source(style)}'; script-src '{_source(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def json_block(content: dict[str, Any]) -> str:
    """Return data as JSON that ends no script element, whatever its texts hold."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).translate(ESCAPES)


def _source(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _script() -> str:
    """Return all scripts as one, in a function of its own: nothing of it is global."""
    parts = "\n".join(_read(name) for name in SCRIPTS)
    return f"(function () {{\n'use strict';\n{parts}}}());\n"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.globals["blocks"] = blocks
    return made


def _shown(value: object) -> object:
    """Return text without control and direction characters, which show a name in another order than it has."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
