"""What is verified on a GPU, in order of worth, and how far that was carried: a machine may be lent for minutes."""

import json
import os
import shlex
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SLICE = (
    "--scale paper --device cuda --data {data} -o epochs=2 -o test_images_epoch=64 -o test_images_last=64"
    " --results {here} -o train_images="
)
DEVICES = f"resnet18 run device {SLICE}1280 --seeds 3 --case CPU --case 'CPU, tuned' --case GPU --case 'GPU, tuned'"
CARD = f"resnet18 run batchsize {SLICE}2048 --seeds 1 --case 512 --case 1024 -o memory_cap=24GiB"
TWICE = f"resnet18 run device {SLICE}1280 --seeds 1 --case GPU --case 'GPU, tuned' -o deterministic=true"
FULL = (
    "resnet18 run augmentation --scale paper --device cuda --data {data} --seeds 1 -o precision=bf16 --results {here}"
    " --case 'normalize, crop, rotation, flip' --case all"
)
EMBEDDED = "fashion-mnist-mini"
LAST_S = 20.0
"""What a command that is told to stop gets for saving its work."""
WELL = (0, 3)
"""Exit codes of a command that did what it was to do; 3: a run of it failed, which its record says."""
DONE, STOPPED = "done", "stopped at the limit; the same command goes on"
ENDINGS = "endings.json"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Step:
    """One step of the list."""

    name: str
    shows: str
    commands: tuple[str, ...]
    """`{here}` stands for the step's folder, `{data}` for the data."""
    of_embedded_data: bool = True
    """False: it means nothing on the embedded data."""


STEPS = (
    Step("checks", "what docs/methodology.md lists as not verified", ("pytest tests/gpu -rA",)),
    Step("device", "Table 4 as published and tuned, a slice at 224 px: speed-up (statement F2)", (DEVICES,)),
    Step(
        "memory",
        "peak memory of each batch size at 224 px by every source, NVML's too, beside the forecast (F3)",
        (f"resnet18 run batchsize {SLICE}2048 --seeds 1", "resnet18 forecast batchsize device"),
    ),
    Step(
        "card",
        "batch 512 and 1024 at 224 px on a card of 24 GiB (C4)",
        (CARD, f"{CARD} -o path=reference"),
    ),
    Step(
        "deterministic",
        "deterministic runs, carried out twice: equal bits",
        (TWICE, TWICE.replace("{here}", "{here}/again"), "resnet18 compare {here} {here}/again"),
    ),
    Step("full", "Table 1's last two rows at full size and 224 px", (FULL,), of_embedded_data=False),
)
"""At 224 px, two epochs a slice: a start is no part of the second one's time. 2,048 images are two batches of 1024."""

Run = Callable[[list[str], Path, float], int | None]
"""Carries a command out with its output in a file, for so many seconds; None: it was stopped before its end."""


def go_on(steps: Sequence[Step], folder: Path, data: str | None, limit_s: float, run: Run | None = None) -> list[str]:
    """Carry out what is not done yet, as far as the limit allows, and return a line for each step that is left.

    Steps that failed before come after those that were never tried. After each step all that the folder holds, except
    checkpoints, is in one archive beside it.
    """
    end_s, left = time.monotonic() + limit_s, []
    folder.mkdir(parents=True, exist_ok=True)
    endings = _read_endings(folder)
    for step in sorted(steps, key=lambda one: one.name in endings):
        rest_s = end_s - time.monotonic() - LAST_S
        if endings.get(step.name) == DONE:
            say(f"{step.name}: done before")
        elif data is None and not step.of_embedded_data:
            left.append(f"{step.name}: needs photographs, as in DATA=imagefolder:cifar10-jpeg.tar.gz")
        elif rest_s <= 0:
            left.append(f"{step.name}: no time was left")
        else:
            say(f"{step.name}: {step.shows}")
            ending = _carried_out(step, folder, data or EMBEDDED, rest_s, run or carry_out)
            left += [f"{step.name}: {ending}"] * (ending != DONE)
            endings |= {step.name: ending} if ending != STOPPED else {}
            (folder / ENDINGS).write_text(json.dumps(endings, indent=1) + "\n", encoding="utf-8")
            archive(folder)
    return left


def _carried_out(step: Step, folder: Path, data: str, limit_s: float, run: Run) -> str:
    """Carry out a step's commands one after the other, and return how that ended."""
    begin_s, here = time.monotonic(), folder / step.name
    here.mkdir(exist_ok=True)
    for number, command in enumerate(step.commands, 1):
        program, *words = (word.format(here=here, data=data) for word in shlex.split(command))
        log = here / f"{number}.log"
        code = run([sys.executable, "-m", program, *words], log, limit_s - (time.monotonic() - begin_s))
        if code is None:
            return STOPPED
        if code not in WELL:
            return f"exit code {code} of: {command} (see {log})"
    return DONE


def carry_out(words: list[str], log: Path, limit_s: float) -> int | None:
    """Carry a command out (see `Run`). Told to stop, a run saves its position and goes on when it is called again."""
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    with (
        log.open("a", encoding="utf-8") as output,
        subprocess.Popen(words, stdout=output, stderr=output, cwd=ROOT, env=here) as process,
    ):
        try:
            return process.wait(max(limit_s, 0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(LAST_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return None


def _read_endings(folder: Path) -> dict[str, str]:
    """Return how each step ended that was carried out to its end."""
    path = folder / ENDINGS
    endings: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return endings


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def archive(folder: Path) -> Path:
    """Write all that a folder holds, except checkpoints, into one archive beside it, and return its path."""
    path = folder.with_name(f"{folder.name}.tar.gz")
    part = path.with_suffix(".part")
    with tarfile.open(part, "w:gz") as tar:
        tar.add(folder, folder.name, filter=lambda one: None if Path(one.name).name == "checkpoints" else one)
    return part.replace(path)
