"""The command `resnet18`: its commands, of which the smallest are here, and how each ends: an answer, an exit code."""

import inspect
import io
import json
import logging
import os
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from resnet18.cli import options as opt
from resnet18.cli.check import check_command, compare_command
from resnet18.cli.data import DATA_COMMANDS, env_command
from resnet18.cli.plan import forecast_command, plan_command, power_command
from resnet18.cli.report import export_command, judge_command, report_command
from resnet18.cli.run import run_command
from resnet18.cli.study import study_command
from resnet18.records.content import load_record
from resnet18.records.merge import merge
from resnet18.records.record import Record
from resnet18.spec.benchmark import schema_of, spec_schema
from resnet18.spec.errors import SpecError, SuiteError, json_line, printable
from resnet18.spec.experiment import parse_data
from resnet18.spec.load import load_benchmarks
from resnet18.spec.metric import how_many
from resnet18.spec.plan import Study

VERDICTS = {0: "bit-equal", 3: "another fingerprint", 4: "mismatch"}
"""What `verify` says, by exit code."""
UsageError: type[typer.BadParameter] = typer.BadParameter.__bases__[0]
"""What typer raises at any mistake in the arguments; it names one kind alone."""
TYPED = "RESNET18_TYPED"
"""The variable in which a program that calls the command, such as make, says what its user typed."""
VERIFY_DATA_HELP = "cifar10, fashion-mnist-mini or imagefolder:PATH; default: the record's data set."


def audit_command(names: opt.Names = None) -> opt.Answer:
    """Check whether the numbers of published reports agree with each other. Findings do not change the exit code."""
    from resnet18.audit import audit, audit_rows, audit_text

    benchmarks = load_benchmarks(names)
    findings, unchecked = audit(benchmarks)
    return opt.Answer(audit_rows(findings), audit_text(findings, unchecked, len(benchmarks)))


def schema_command(
    what: Annotated[
        Literal["spec", "study", "record"],
        typer.Argument(metavar="WHAT", help="Schema of benchmark files (spec), of studies or of records (record)."),
    ] = "spec",
) -> opt.Answer:
    """Print the JSON schema of benchmark files, of studies or of records."""
    schema = {"spec": spec_schema(), "study": schema_of(Study), "record": Record.model_json_schema()}[what]
    return opt.Answer(schema, json.dumps(schema, indent=1))


def merge_command(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Results folders, the preferred one first.")],
    into: Annotated[Path, opt.option("--into", "DIR", "Results folder to copy to.")],
) -> opt.Answer:
    """Copy the records of several results folders into one. Of a run in several, the first folder's record is kept."""
    found = merge(folders, into)
    left_out = [f"{name}: this run is recorded already, by another folder or machine" for name in found["left_out"]]
    for text in found["refused"]:
        opt.say(f"refused: {text}")
    counts = {word: len(found[word]) for word in ("copied", "known")}
    lines = [f"{how_many(counts['copied'], 'record')} copied to {into}, {counts['known']} there already"]
    lines += [f"left out: {text}" for text in left_out]
    lines.append(f"next: resnet18 report --results {shlex.quote(str(into))}")
    row = {"into": str(into), **counts, "left_out": left_out, "refused": found["refused"]}
    return opt.Answer(row, "\n".join(lines), 4 if found["refused"] else 0)


def verify_command(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="File of a record: DIR/records/RUN.ATTEMPT.json.")],
    data: Annotated[str | None, opt.option("--data", "NAME", VERIFY_DATA_HELP, *opt.DATA)] = None,
) -> opt.Answer:
    """Repeat a recorded run and compare results. Exit codes: 0 equal; 3 another machine or version; 4 not equal."""
    from rich.console import Console

    from resnet18.execution.progress import Progress
    from resnet18.execution.trials import verify

    if not os.path.isfile(record):  # noqa: PTH113 - unlike Path.is_file it takes any text
        raise SpecError(str(record), "is no file that is there", next_step="name DIR/records/RUN.ATTEMPT.json")
    loaded = load_record(record)
    source = parse_data(data or loaded.spec.experiment.data)
    code, text = verify(loaded, source, Progress(Console(stderr=True)))
    row = {"record": record.name, "verdict": VERDICTS[code], "says": text, "exit_code": code}
    return opt.Answer(row, f"{record.name}: {text}", code)


def typed_command() -> str:
    """Return the command that was given, to be typed again."""
    program, *words = sys.argv
    if program.endswith("__main__.py"):
        return shlex.join(sys.orig_argv)
    return shlex.join([Path(program).name if shutil.which(Path(program).name) == program else program, *words])


def reported(error: BaseException, *, debug: bool = False) -> int:
    """Say what ended the command, the traceback on request only, and return the exit code."""
    if isinstance(error, BrokenPipeError):  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    trace, exit_code = traceback.format_exc() if debug else "", 5 if isinstance(error, OSError | MemoryError) else 3
    text = f"{trace}error: {': '.join(filter(None, (type(error).__name__, str(error))))}"
    text += "" if debug else f"\n  next, for a traceback: {typed_command()} --debug"
    if isinstance(error, SuiteError):
        text, exit_code = f"{trace}error: {error}", error.exit_code
    elif _was_interrupted(error):
        text, exit_code = f"stopped; to resume: {os.environ.get(TYPED) or typed_command()}", 130
    with suppress(OSError):  # the terminal has gone
        opt.say(text)
    return exit_code


def _was_interrupted(error: BaseException | None) -> bool:
    """Say whether an interrupt has led to an error: a module that is imported then may raise another in its place."""
    return error is not None and (
        isinstance(error, KeyboardInterrupt) or _was_interrupted(error.__cause__ or error.__context__)
    )


def shared(as_json: opt.Json = False, debug: opt.Debug = False) -> None:
    """Stand for the options that every command has."""


def ending(command: Callable[..., opt.Answer]) -> Callable[..., None]:
    """Return a command with the shared options, which prints its answer and ends with its exit code.

    A parameter that is a dataclass stands for its fields: options that several commands have.
    """
    own = inspect.signature(command).parameters
    groups: dict[str, Any] = {name: one.annotation for name, one in own.items() if is_dataclass(one.annotation)}
    options = dict[str, inspect.Parameter]()
    for name, one in {**own, **inspect.signature(shared).parameters}.items():
        options |= inspect.signature(groups[name]).parameters if name in groups else {name: one}

    @wraps(command)
    def call(**given: Any) -> None:  # noqa: ANN401 - whatever the command takes
        for name, group in groups.items():
            given[name] = group(**{field.name: given[field.name] for field in fields(group)})
        try:
            answer = command(**{name: given[name] for name in own})
            opt.say(json_line(answer.value) if given["as_json"] else answer.text, is_answer=True)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - Python's exit code, 1, is for a regression
            raise typer.Exit(reported(error, debug=given["debug"])) from None
        raise typer.Exit(answer.exit_code)

    call.__signature__ = inspect.Signature([*options.values()])  # type: ignore[attr-defined]  # typer reads it
    call.__annotations__ = {name: one.annotation for name, one in options.items()}
    return call


def made_of(commands: Iterable[Callable[..., opt.Answer]], about: str) -> typer.Typer:
    """Return the command that has these commands."""
    made = typer.Typer(
        help=about,
        no_args_is_help=True,
        rich_markup_mode=None,  # plain text: markup would take `[gate]` for a style
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for command in commands:
        made.command(command.__name__.removesuffix("_command"))(ending(command))
    return made


COMMANDS = (
    *(plan_command, run_command, study_command, report_command, judge_command, verify_command, forecast_command),
    *(audit_command, check_command, compare_command, export_command, power_command, merge_command, env_command),
    schema_command,
)
"""In the order of the help."""
OF_A_CALLER = ("MPLBACKEND", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
"""Variables that a notebook sets for its own figures, and git for a hook: they would name another repository."""
app = made_of(COMMANDS, "Repeat the experiments of a lab report on ResNet-18 and CIFAR-10, and test its claims.")
app.add_typer(made_of(DATA_COMMANDS, "Download CIFAR-10, check it, and print where data sets are kept."), name="data")


def ready_streams() -> None:
    """Let the three streams be there, and take any text."""
    for number in range(3):  # one that a daemon has closed would be the next file that is opened
        if not Path(f"/dev/fd/{number}").exists():
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal's encoding lacks is written as `\xd7`
            stream.reconfigure(errors="backslashreplace")


def call() -> None:
    """Carry the command out as if a shell had called it; where the reader of its help has gone, end as by SIGPIPE."""
    for name in OF_A_CALLER:
        os.environ.pop(name, None)
    ready_streams()
    (log := logging.StreamHandler()).setFormatter(opt.LogFormat())
    logging.basicConfig(handlers=[log])
    try:
        sys.exit(app(standalone_mode=False))
    except UsageError as error:
        said = printable(error.format_message()).replace("Value error, ", "", 1)  # pydantic's, before typer's words
        error.format_message = lambda: said  # type: ignore[method-assign]  # `show` frames it, and repeats arguments
        error.show()
        sys.exit(error.exit_code)
    except (SystemExit, BrokenPipeError) as ended:  # typer ends with 1, which is for a regression
        if BrokenPipeError in {type(ended), type(ended.__context__)}:
            sys.exit(reported(BrokenPipeError()))
        raise
