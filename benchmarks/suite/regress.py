"""`make regress` and `make baseline`: train the cases of regress.toml, and judge them or keep them.

    python benchmarks/suite/regress.py [--data DATA] [--base COMMIT | --keep] [--seeds N] [--to FOLDER]

The code of a base commit runs beside this one, at the same time, each in processes of its own. With --keep there is no
base, nothing is timed, and runs share the machine. Ends with the exit code of `resnet18 check`; 3 where nothing could
be compared, 2, 4, 5 or 75 where this code or its options, data or folder are why (docs/gate.md).
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    from base_commit import NAME_ONE, ROOT, NotMeasuredError, chosen_base, code_of, ending_of

    from resnet18.cli.app import OF_A_CALLER, TYPED
    from resnet18.cli.check import FORECAST, left_out
    from resnet18.data.archives import find_archive
    from resnet18.execution.processes import end_with_parent
    from resnet18.execution.runner import git_commit
    from resnet18.measure.host import usable_cpus
    from resnet18.records import disk
    from resnet18.spec.benchmark import Benchmark
    from resnet18.spec.errors import EnvironmentMissingError, LockedError, SpecError, SuiteError, disk_errors, printable
    from resnet18.spec.experiment import CIFAR10, data_folder, parse_data
    from resnet18.spec.load import load_benchmark
except Exception as error:  # noqa: BLE001 - Python would end with 1, which says that there is a regression
    sys.stderr.write(
        f"nothing was compared: this code cannot be imported: {error!r}\n  next: mend it, or: make clean\n"
    )
    sys.exit(3)

SPEC = Path(__file__).with_name("regress.toml")
SIZE = ("-o", "train_images=1024", "-o", "epochs=5", "-o", "test_images_last=250")
"""Five epochs, of which the last three have small rates: their median differs little between seeds (docs/gate.md)."""
CHANGE_S = 0.1  # less than an epoch takes
PLAN_S, FORECAST_S, END_S = 60, 300, 60
"""How long a plan, a forecast and the end of a run are waited for."""
JUDGED = {0, 3, 4}
"""Exit codes of runs that `check` can judge: by records of how each ended, or records that contradict their spec."""
MOST_SEEDS = 1_000
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOCK = "regress.lock"
"""In the folder of the records: whoever holds it may remove them. It says, too, that a check made the folder."""


def like(code: Path) -> dict[str, Any]:
    """Return how a command of a folder's code is started: it ends with this one, and repeats what was typed here."""
    typed = {TYPED: os.environ.get(TYPED) or shlex.join(sys.orig_argv), "PYTHONPATH": str(code)}
    return {"cwd": code, "env": {**os.environ, **typed}, "preexec_fn": end_with_parent}


def resnet18(code: Path, *words: str, limit_s: float | None = None) -> subprocess.CompletedProcess[str]:
    """Let the code of a folder carry out a command; with a limit of time its output is kept, else it is shown."""
    command, quiet = [sys.executable, "-m", "resnet18", *words], limit_s is not None
    how = {"capture_output": quiet, "text": True, "errors": "replace", "timeout": limit_s, **like(code)}
    return subprocess.run(command, check=False, **how)


def check_plan(code: Path, who: str, words: list[str]) -> None:
    """Raise NotMeasuredError where code cannot plan the runs: older code may not know what these ask for."""
    if not (code / "resnet18").is_dir():
        raise NotMeasuredError(f"{who} has no package resnet18 where this checkout has it; {NAME_ONE}")
    try:
        planned = resnet18(code, "plan", str(SPEC), *words, limit_s=PLAN_S)
    except subprocess.TimeoutExpired:
        raise NotMeasuredError(f"{who} has not planned its runs after {PLAN_S} seconds") from None
    if planned.returncode:
        says = f"{who} cannot plan the runs of {SPEC.name}: {ending_of(planned.stderr or planned.stdout)}"
        is_ours = code == ROOT and planned.returncode > 1
        raise NotMeasuredError(says if is_ours else f"{says}; {NAME_ONE}", planned.returncode if is_ours else 3)


@contextmanager
def held(results: Path) -> Iterator[None]:
    """Hold the folder of the records.

    Raises SpecError where it holds what no check has made, LockedError while another check holds it.
    """
    is_new = not os.path.lexists(results) or (results.is_dir() and not any(results.iterdir()))
    if not is_new and not (results / LOCK).is_file():
        next_step = "choose a new folder with --to, or move this away"
        raise SpecError(str(results), "was not made by a check, which would remove what it holds", next_step=next_step)
    with ExitStack() as stack:
        with disk_errors(EnvironmentMissingError, str(results), "cannot be written", "choose another with --to"):
            disk.make_folder(results)
            try:
                stack.enter_context(disk.lock(results / LOCK))
            except disk.LockIsTakenError as error:
                next_step = "wait for its end, or choose another folder with --to"
                raise LockedError(str(results), f"{error} carries out a check there", next_step=next_step) from None
        yield


def clear(results: Path) -> None:
    """Remove the records of an earlier check; LockedError where a run goes on among them, IntegrityError at a link."""
    for folder in (results / name for name in ("head", "base")):
        with ExitStack() as stack, disk_errors(EnvironmentMissingError, str(folder), "cannot be removed"):
            disk.make_folder(folder)  # a link is refused
            for lock in folder.glob("locks/*.lock"):
                try:
                    stack.enter_context(disk.lock(lock))
                except disk.LockIsTakenError as error:
                    what, next_step = f"{error} carries out a run there", "end it, or choose another folder with --to"
                    raise LockedError(str(folder), what, next_step=next_step) from None
            shutil.rmtree(folder)


def start(code: Path, results: Path, words: list[str]) -> subprocess.Popen[bytes]:
    """Let the code of a folder begin its runs. What a base prints is kept beside its records, and not shown."""
    command = [sys.executable, "-m", "resnet18", "run", str(SPEC), "--results", str(results), *words]
    if code == ROOT:
        return subprocess.Popen(command, **like(code))
    with results.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, **like(code))


def train(codes: Mapping[str, Path], results: Path, words: list[str]) -> None:
    """Run codes at the same time; two have half of the processors each, and ten times a second they change places.

    Whatever slows the machine, or one of its processors, slows both alike. Where processors cannot be assigned (Linux
    alone lets a process do so), or there is one, both share all. Raises NotMeasuredError where one of them ends without
    having recorded how its runs ended. Whatever ends this, no run goes on after it.
    """
    processors = sorted(usable_cpus())
    halves = [processors[: len(processors) // 2], processors[len(processors) // 2 :]]
    sides = dict[str, subprocess.Popen[bytes]]()
    try:
        for name, code in codes.items():
            sides[name] = start(code, results / name, words)
        while None in (ended := {name: side.poll() for name, side in sides.items()}).values():
            check_ended(ended, results)
            for (name, side), half in zip(sides.items(), halves, strict=False):
                if len(sides) > 1 and ended[name] is None and side.poll() is None:  # its number may be another's by now
                    assign(side.pid, half)
            halves.reverse()
            time.sleep(CHANGE_S)
        check_ended(ended, results)
    finally:
        end(sides.values())


def check_ended(ended: Mapping[str, int | None], results: Path) -> None:
    """Raise NotMeasuredError where a side ended with another exit code; that of the head is this command's."""
    for name, code in sorted(ended.items(), reverse=True):  # the head first: what both lack is no fault of the base
        if code not in {None, *JUDGED}:
            log = results / f"{name}.log"
            says = f"; {log} ends: {ending_of(log.read_text(errors='replace'))}" if name == "base" else ""
            is_ours = name == "head" and code in {2, 5, 75}
            raise NotMeasuredError(f"the runs of the {name} ended with exit code {code}{says}", code if is_ours else 3)


def end(sides: Collection[subprocess.Popen[bytes]]) -> None:
    """Tell whatever still runs to end, then wait for each; kill what has not ended by then."""
    going = [side for side in sides if side.poll() is None]
    for side in going:
        side.terminate()
    for side in going:
        try:
            side.wait(END_S)
        except subprocess.TimeoutExpired:
            side.kill()
            side.wait()


def assign(process: int, processors: list[int]) -> None:
    """Let all threads of a process, and of those that it has started, run on these processors."""
    with suppress(OSError):  # it has ended, or this is not Linux
        for task in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(task.name), processors)
            for child in (task / "children").read_text(encoding="ascii").split():
                assign(int(child), processors)


def keep_forecast(base: Path, results: Path) -> None:
    """Keep what the base's own code says of the bytes that autograd saves; nothing where it cannot tell."""
    with suppress(subprocess.TimeoutExpired):
        told = resnet18(base, "forecast", str(SPEC), "--scale", "smoke", *SIZE, "--json", limit_s=FORECAST_S)
        if told.returncode == 0:
            disk.make_folder(results)
            disk.replace(results / FORECAST, told.stdout.encode())


def seeds_of(asked: int | None, fewest: int, of: str) -> int:
    """Return the number of seeds; NotMeasuredError where fewer are asked for than are needed, SpecError at too many."""
    if asked is not None and asked < fewest:
        raise NotMeasuredError(f"SEEDS={asked} is too few: {of} takes at least {fewest}")
    if asked is not None and asked > MOST_SEEDS:
        raise SpecError(f"SEEDS={asked}", "is too many", allowed=[f"{fewest} to {MOST_SEEDS:,}"])
    return asked or fewest


def words_of(benchmark: Benchmark, data: str | None) -> list[str]:
    """Return what runs are asked for with, but for their seeds; a SuiteError where the data set is not there."""
    skipped = left_out(benchmark)
    kept = [word for case in benchmark.cases if case.name not in skipped for word in ("--case", case.name)]
    words = [*SIZE, *(kept if skipped else ())]
    if data is None:
        return words
    source = parse_data(data)
    if source.label == CIFAR10:
        find_archive(data_folder())
    return [*words, "--data", data.partition(":")[0] + (f":{source.path.resolve()}" if source.path else "")]


def measure(asked: argparse.Namespace, results: Path) -> int:
    """Run, then judge, and return the exit code."""
    benchmark = load_benchmark(SPEC)
    if benchmark.gate is None:
        raise SpecError(SPEC.name, "has no [gate]: nothing says how much may change")
    times, of = (2, "a baseline") if asked.keep else (1, "a check")
    seeds = seeds_of(asked.seeds, times * benchmark.gate.seeds, of)
    words = [*words_of(benchmark, asked.data), "--seeds", str(seeds)]
    check_plan(ROOT, "this code", words)
    if asked.keep and git_commit()[1] is not False:
        raise SpecError(str(ROOT), "is not a clean commit of git", next_step="commit, then: make baseline")
    with held(results):
        if asked.keep:
            clear(results)
            train({"head": ROOT}, results, [*words, "--jobs", str(len(usable_cpus()))])
            return judged(results, "--keep")
        commit, which = chosen_base(asked.base)
        print(f"base: {commit:.12}, {which}", flush=True)  # noqa: T201 - a script
        with code_of(commit) as base:
            check_plan(base, f"{commit:.12}", words)
            clear(results)
            keep_forecast(base, results / "base")
            train({"base": base, "head": ROOT}, results, words)
        return judged(results, "--base", str(results / "base"))


def judged(results: Path, *words: str) -> int:
    """Return the exit code of `resnet18 check`, which prints the page."""
    return resnet18(ROOT, "check", str(SPEC), "--results", str(results / "head"), *words).returncode


def end_by_exit() -> None:
    """Let the first signal end this command, which then ends what it has started; later ones are not heard.

    A signal that was ignored before, as by `nohup`, is ignored.
    """

    def stop(number: int, _frame: object) -> None:
        for other in ENDINGS:
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    for number in ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    either = parser.add_mutually_exclusive_group()
    parser.add_argument("--data", help="as for resnet18 run; embedded data if left out")
    either.add_argument("--base", help="commit to run beside this code; default: see docs/gate.md")
    parser.add_argument("--seeds", type=int, help="of each side; the [gate]'s number if left out, twice it with --keep")
    parser.add_argument("--to", type=Path, default=Path("results/local/regress"), help="folder of the records")
    either.add_argument("--keep", action="store_true", help="keep the records as the baseline of this machine")
    asked = parser.parse_args()
    for name in OF_A_CALLER:
        os.environ.pop(name, None)
    end_by_exit()
    try:
        return measure(asked, asked.to.resolve())
    except (NotMeasuredError, SuiteError) as error:
        says, code = f"nothing was compared: {error}", error.exit_code
    except Exception:  # noqa: BLE001 - Python would end with 1, which says that there is a regression
        says, code = traceback.format_exc(), 3
    print(printable(says), file=sys.stderr)  # noqa: T201 - a script
    return code


if __name__ == "__main__":
    sys.exit(main())
