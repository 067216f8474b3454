"""How a command ends: exceptions become a message and an exit code, never a traceback unless asked for."""

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from resnet18.spec.errors import SuiteError

STOPPED = "stopped; the same command goes on with what is missing"


@contextmanager
def errors_reported(debug: bool) -> Iterator[None]:
    """Turn exceptions into a message and an exit code."""
    try:
        yield
    except typer.Exit:  # a RuntimeError, and no error
        raise
    except SuiteError as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(128 + signal.SIGPIPE) from None
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"error: {type(error).__name__}: {error}\n  next: the same with --debug shows where", err=True)
        raise typer.Exit(5 if isinstance(error, OSError) else 3) from None
    except KeyboardInterrupt:
        typer.echo(STOPPED, err=True)
        raise typer.Exit(130) from None
