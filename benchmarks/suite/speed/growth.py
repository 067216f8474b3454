"""How a command's time grows with images, epochs, runs and seeds: `resnet18 run` from its start to its report."""

import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TABLE = """
title = "Growth"
source = "none"
question = "How does time grow?"

[table]
cases_in = "rows"
case_title = "Case"
metrics = [{ metric = "train_s", title = "Time" }]

[experiment]
model = "resnet18"
stem = "imagenet"
image_size = 32
batch_size = 32
optimizer = { name = "sgd", lr = 0.01 }
schedule = { name = "constant" }
augmentation = [{ name = "to_tensor" }]

[execution]
path = "fast"
"""
BASE = {"images": 500, "epochs": 1, "runs": 1, "seeds": 1}
VALUES = {
    "images": (500, 1000, 2000, 4000),
    "epochs": (1, 2, 4, 8),
    "runs": (1, 2, 4, 8),
    "seeds": (1, 2, 4, 8),
}


@dataclass(frozen=True)
class Growth:
    """Seconds of a command for each value of an axis, the others at their least."""

    axis: str
    values: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def slope_s(self) -> float:
        """Seconds by which the command grows for each step on the axis: least squares."""
        return float(np.polyfit(self.values, self.seconds, 1)[0])

    @property
    def exponent(self) -> float:
        """Of the time beyond the fixed part, between the last two values: 1 is proportional."""
        fixed_s = self.seconds[0] - self.slope_s * self.values[0]
        later_s, last_s = (seconds - fixed_s for seconds in self.seconds[-2:])
        return math.log(last_s / later_s) / math.log(self.values[-1] / self.values[-2])


def growth(axis: str) -> Growth:
    """Run the command for each value of an axis."""
    return Growth(axis, VALUES[axis], tuple(_seconds({**BASE, axis: value}) for value in VALUES[axis]))


def _seconds(size: dict[str, int]) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = "".join(
            f'\n[[case]]\nname = "{number}"\nexperiment = {{ epochs = {size["epochs"]}, batch_size = {32 + number} }}\n'
            for number in range(size["runs"])
        )
        (folder / "growth.toml").write_text(TABLE + cases, encoding="utf-8")
        command = [
            sys.executable, "-m", "resnet18", "run", str(folder / "growth.toml"), "--results", str(folder / "results"),
            "--seeds", str(size["seeds"]), "-o", f"train_images={size['images']}", "-o", "width=64",
            "-o", f"epochs={size['epochs']}",
        ]  # fmt: skip
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - start
