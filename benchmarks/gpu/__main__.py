"""`make verify-gpu`: on a machine with a GPU, check and measure what no other machine can, in order of worth.

    python benchmarks/gpu [--limit SECONDS] [--data DATA] [--results FOLDER]

It stops itself before the limit, goes on when called again, and leaves one archive of all that it recorded. It needs
torch for CUDA and the packages of pyproject.toml, but no installation of the suite. Exit codes: 0 all steps are done; 3
some are left, or there is no GPU; 5 a package is missing.
"""

import argparse
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

from steps import ROOT, STEPS, go_on, say


def missing_packages() -> list[str]:
    """Return which of the suite's packages this interpreter does not find."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = (re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in project["dependencies"])
    return [name for name in names if not any(importlib.metadata.distributions(name=name))]


def main() -> int:
    """Check the machine, then go down the list, and say what is left of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds before whose end it stops itself")
    parser.add_argument("--data", help="as for resnet18 run; embedded data if left out, without the steps at full size")
    parser.add_argument("--results", type=Path, default=ROOT / "results/local/verify-gpu", help="folder of the records")
    asked = parser.parse_args()
    if missing := missing_packages():
        say(f"not installed: {', '.join(missing)}. Next: {sys.executable} -m pip install {' '.join(missing)}")
        return 5
    import torch  # noqa: PLC0415 - takes seconds, and what is said above needs none

    if not torch.cuda.is_available():
        say(f"torch {torch.__version__} finds no CUDA device: nothing was verified. `resnet18 env` says what it sees.")
        return 3
    left = go_on(STEPS, asked.results.resolve(), asked.data, asked.limit)
    say(f"records: {asked.results}.tar.gz")
    for line in left:
        say(f"left: {line}")
    return 3 if left else 0


if __name__ == "__main__":
    sys.exit(main())
