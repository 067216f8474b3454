"""How a command ends: exceptions become a message and an exit code, never a traceback unless asked for."""

import io
import json
import os
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer

from resnet18.spec.errors import SuiteError, printable


def command() -> str:
    """Return the very command that was given, to be typed again."""
    program, *words = sys.argv
    name = Path(program).name
    if name == "__main__.py":
        name = "python -m resnet18"
    elif shutil.which(name) != program:
        name = program
    return f"{name} {shlex.join(words)}".rstrip()


def stopped() -> str:
    """Return what is said after a signal: what to type to go on with what is missing."""
    return printable(f"stopped; to go on with what is missing: {command()}")


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end a command as an interrupt does: runs are recorded as interrupted."""

    def stop(number: int, _frame: FrameType | None) -> None:
        typer.echo(stopped(), err=True)
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def echo(text: str, *, err: bool = False) -> None:
    """Print a text that may hold what a file or a user has written: nothing in it moves the cursor."""
    typer.echo(printable(text), err=err)


@contextmanager
def errors_reported(debug: bool) -> Iterator[None]:
    """Turn exceptions into a message and an exit code."""
    write_whatever_the_locale()

    def say(text: str) -> None:
        echo(f"{traceback.format_exc()}{text}" if debug else text, err=True)

    try:
        yield
    except typer.Exit:  # a RuntimeError, and no error
        raise
    except SuiteError as error:
        say(f"error: {error}")
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(128 + signal.SIGPIPE) from None
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        more = "" if debug else f"\n  next, to see where: {command()} --debug"
        say(f"error: {type(error).__name__}: {error}{more}")
        raise typer.Exit(5 if isinstance(error, OSError) else 3) from None
    except KeyboardInterrupt:
        typer.echo(stopped(), err=True)
        raise typer.Exit(130) from None


def echo_either(value: object, text: str, *, as_json: bool) -> None:
    """Print a value as JSON, or the text that people read instead."""
    if as_json:
        typer.echo(json.dumps(value, indent=1))
    else:
        echo(text)


def write_whatever_the_locale(instead: str = "backslashreplace") -> None:
    r"""Let no character end a command: one that the terminal's encoding lacks is written out, as `\xd7`.

    `instead` is what else codecs know: `replace` writes `?`, which takes the place that the character had in a box.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=instead)
