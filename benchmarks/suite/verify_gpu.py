"""`make verify-gpu`: on a machine with a GPU, check and measure what no other machine can.

    python benchmarks/suite/verify_gpu.py [--limit SECONDS] [--data DATA] [--results FOLDER]

The steps come in order of worth. The command stops before the limit, resumes when repeated, and leaves one archive of
all that it recorded. It needs torch for CUDA and the packages of pyproject.toml, but no installation of the suite. Exit
codes: 0 all steps are done; 3 some are left, or there is no GPU; 5 a package is missing.
"""

import argparse
import importlib.metadata
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SLICE = (
    "--scale paper --device cuda --data {data} -o epochs=2 -o test_images_epoch=64 -o test_images_last=64"
    " --results {here} -o train_images="
)
"""Two epochs at 224 px: the second epoch's time holds no start-up."""
DEVICES = f"resnet18 run device {SLICE}1280 --seeds 3 --case CPU --case 'CPU, tuned' --case GPU --case 'GPU, tuned'"
CARD = f"resnet18 run batchsize {SLICE}2048 --seeds 1 --case 512 --case 1024 -o memory_cap=24GiB"
TWICE = f"resnet18 run device {SLICE}1280 --seeds 1 --case GPU --case 'GPU, tuned' -o deterministic=true"
FULL = (
    "resnet18 run augmentation --scale paper --device cuda --data {data} --seeds 1 -o precision=bf16 --results {here}"
    " --case 'normalize, crop, rotation, flip' --case all"
)
EMBEDDED = "fashion-mnist-mini"
GRACE_S = 20.0
"""How long a command that was told to stop may take to save its work."""
EXPECTED = (0, 3)
"""Exit codes of a command that ended as planned; 3: a run failed, which its record says."""
DONE, STOPPED = "done", "stopped at the limit; repeat the command to resume"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Step:
    """Commands with a purpose; `{here}` in them stands for the step's folder, `{data}` for the data."""

    name: str
    shows: str
    commands: tuple[str, ...]
    works_on_embedded_data: bool = True


STEPS = (
    Step("checks", "what docs/methodology.md lists as not verified", ("pytest tests/gpu -rA",)),
    Step("device", "Table 4 as published and tuned, a slice at 224 px: speed-up (statement F2)", (DEVICES,)),
    Step(
        "memory",
        "peak memory of each batch size at 224 px by every source, beside the forecast (F3)",
        (f"resnet18 run batchsize {SLICE}2048 --seeds 1", "resnet18 forecast batchsize device"),
    ),
    Step("card", "batch 512 and 1024 at 224 px on a card of 24 GiB (C4)", (CARD, f"{CARD} -o path=reference")),
    Step(
        "deterministic",
        "deterministic runs, carried out twice: equal bits",
        (TWICE, TWICE.replace("{here}", "{here}/again"), "resnet18 compare {here} {here}/again"),
    ),
    Step("full", "Table 1's last two rows at full size and 224 px", (FULL,), works_on_embedded_data=False),
)

Run = Callable[[list[str], Path, float], int | None]
"""Carries out a command, its output in a file, for at most so many seconds. Returns its exit code; None: stopped."""


def carry_out(words: list[str], log: Path, limit_s: float) -> int | None:
    """Carry out a command (see `Run`). A run that is told to stop saves its position."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with (
        log.open("a", encoding="utf-8") as output,
        subprocess.Popen(
            words, stdout=output, stderr=output, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}
        ) as process,
    ):
        try:
            return process.wait(max(limit_s, 0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return None


def verify(steps: Sequence[Step], folder: Path, data: str | None, limit_s: float, run: Run = carry_out) -> list[str]:
    """Carry out what is not done yet, within the limit, and return a line for each step that is left.

    Steps that failed before come after those that were never tried.
    """
    end_s, left = time.monotonic() + limit_s, []
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / "endings.json"
    endings: dict[str, str] = json.loads(known.read_text("utf-8")) if known.exists() else {}
    for step in sorted(steps, key=lambda step: step.name in endings):
        rest_s = end_s - time.monotonic() - GRACE_S
        if endings.get(step.name) == DONE:
            say(f"{step.name}: done before")
        elif data is None and not step.works_on_embedded_data:
            left.append(f"{step.name}: needs photographs, as in DATA=imagefolder:cifar10-jpeg.tar.gz")
        elif rest_s <= 0:
            left.append(f"{step.name}: no time was left")
        else:
            say(f"{step.name}: {step.shows}")
            ending = _ending_of(step, folder, data or EMBEDDED, rest_s, run)
            if ending != DONE:
                left.append(f"{step.name}: {ending}")
            if ending != STOPPED:
                endings[step.name] = ending
                known.write_text(json.dumps(endings, indent=1) + "\n", encoding="utf-8")
            archive(folder)
    return left


def _ending_of(step: Step, folder: Path, data: str, limit_s: float, run: Run) -> str:
    """Carry out a step's commands one after the other, and return how that ended."""
    begin_s, here = time.monotonic(), folder / step.name
    here.mkdir(exist_ok=True)
    for number, command in enumerate(step.commands, 1):
        program, *words = (word.format(here=here, data=data) for word in shlex.split(command))
        log = here / f"{number}.log"
        code = run([sys.executable, "-m", program, *words], log, limit_s - (time.monotonic() - begin_s))
        if code is None:
            return STOPPED
        if code not in EXPECTED:
            return f"exit code {code} of: {command} (see {log})"
    return DONE


def archive(folder: Path) -> Path:
    """Write all that a folder holds, except checkpoints, into one archive beside it, and return its path."""
    path = folder.with_name(f"{folder.name}.tar.gz")
    part = path.with_suffix(".part")
    with tarfile.open(part, "w:gz") as tar:
        tar.add(folder, folder.name, filter=lambda entry: None if Path(entry.name).name == "checkpoints" else entry)
    return part.replace(path)


def missing_packages() -> list[str]:
    """Return the names of the packages that the suite needs and this interpreter does not have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = (re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in project["dependencies"])
    return [name for name in names if not any(importlib.metadata.distributions(name=name))]


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Check the machine, carry out the steps, and say what is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=float("inf"), help="stop before so many seconds are over")
    parser.add_argument("--data", help="as for resnet18 run; embedded data if left out, without the steps at full size")
    parser.add_argument("--results", type=Path, default=ROOT / "results/local/verify-gpu", help="folder of the records")
    options = parser.parse_args()
    if missing := missing_packages():
        say(f"not installed: {', '.join(missing)}. Next: {sys.executable} -m pip install {' '.join(missing)}")
        return 5
    import torch  # noqa: PLC0415 - takes seconds, and what is said above needs none

    if not torch.cuda.is_available():
        say(f"torch {torch.__version__} finds no CUDA device: nothing was verified. `resnet18 env` says what it sees.")
        return 3
    left = verify(STEPS, options.results.resolve(), options.data, options.limit)
    say(f"records: {options.results}.tar.gz")
    for line in left:
        say(f"left: {line}")
    return 3 if left else 0


if __name__ == "__main__":
    sys.exit(main())
