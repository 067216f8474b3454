"""`make regress` and `make baseline`: train the cases of regress.toml, and judge them or keep them.

    python benchmarks/suite/regress.py [--data DATA] [--base COMMIT] [--seeds N] [--to FOLDER] [--keep]

With --base the code of that commit runs in turns with this one, seed by seed, each in processes of its own: times and
memory are then compared too. Without, nothing is timed, and runs share the machine. Ends with the exit code of
`resnet18 check`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet18.measure.host import usable_cpus
from resnet18.spec.load import load_benchmark

ROOT = Path(__file__).parents[2]
SPEC = Path(__file__).with_name("regress.toml")
SIZE = ("-o", "train_images=2400", "-o", "epochs=5")
"""Five epochs, of which the last three have small rates: their median differs little between seeds (docs/gate.md)."""


@contextmanager
def code_of(commit: str) -> Iterator[Path]:
    """Check a commit out into a folder that is gone afterwards; SystemExit 3 where git cannot."""
    with tempfile.TemporaryDirectory(prefix="resnet18-base-") as name:
        folder = Path(name) / "base"
        git = ["git", "-C", str(ROOT), "worktree"]
        if subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=False).returncode:
            sys.exit(3)  # nothing was measured; git has said why
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def train(code: Path, results: Path, seeds: int, words: list[str]) -> None:
    """Let the code of a folder run what is missing of so many seeds. How that ended is in the records."""
    command = [sys.executable, "-m", "resnet18", "run", str(SPEC), "--seeds", str(seeds), "--results", str(results)]
    environment = {**os.environ, "PYTHONPATH": str(code)}
    subprocess.run([*command, *SIZE, *words], cwd=code, env=environment, check=False)


def in_turns(base: Path, results: Path, seeds: int, words: list[str]) -> None:
    """Run both codes seed by seed; the order alternates, so that a drift of the machine meets both."""
    sides = [(base, results / "base"), (ROOT, results / "head")]
    for number in range(seeds):
        for code, folder in sides if number % 2 == 0 else reversed(sides):
            train(code, folder, number + 1, words)


def main() -> int:
    """Run, then judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="as for resnet18 run; embedded data if left out")
    parser.add_argument("--base", help="commit to run in turns with this code")
    parser.add_argument("--seeds", type=int, help="of this code; the [gate]'s number if left out, twice it with --keep")
    parser.add_argument("--to", type=Path, default=Path("results/local/regress"), help="folder of the records")
    parser.add_argument("--keep", action="store_true", help="keep the records as the baseline of this machine")
    asked = parser.parse_args()
    gate = load_benchmark(SPEC).gate
    assert gate is not None  # noqa: S101 - it stands in the file
    seeds = asked.seeds or (2 if asked.keep else 1) * gate.seeds
    data = ["--data", asked.data] if asked.data else []
    results = asked.to.resolve()
    shutil.rmtree(results, ignore_errors=True)
    if asked.base:
        with code_of(asked.base) as folder:
            in_turns(folder, results, seeds, data)
    else:
        train(ROOT, results / "head", seeds, [*data, "--jobs", str(len(usable_cpus()))])
    check = [sys.executable, "-m", "resnet18", "check", str(SPEC), "--results", str(results / "head")]
    check += ["--keep"] if asked.keep else []
    check += ["--base", str(results / "base")] if asked.base else []
    return subprocess.run(check, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
