"""Slurm's programs without installing them: Debian's or Ubuntu's packages, unpacked into a folder, once.

Nothing needs root and nothing outside the folder changes. It takes 13 MB, of which apt downloads 4, and a few seconds.
"""

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

NEEDED = ("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins")
DAEMONS = ("slurmctld", "slurmd", "slurmstepd")
ADVICE = (
    "the Slurm of the tests needs apt-get and dpkg (Debian or Ubuntu); or set RESNET18_SLURM to an unpacked Slurm "
    "(a folder with usr/bin/sbatch), or have slurmctld, slurmd and sbatch on PATH"
)


class NoSlurmError(Exception):
    """There is no Slurm and none could be made. The text says what to do."""


@dataclass(frozen=True)
class Slurm:
    """Where the programs are: in `root`, or (None) installed on this machine."""

    root: Path | None = None

    def programs(self) -> tuple[Path, ...]:
        """Return the folders that PATH must have in front."""
        return (self.root / "usr/bin", self.root / "usr/sbin") if self.root else ()

    def libraries(self) -> tuple[Path, ...]:
        """Return the folders that LD_LIBRARY_PATH must have: the plugins' own, then what they need."""
        plugins = self.plugins()
        return (plugins, plugins.parent) if plugins else ()

    def plugins(self) -> Path | None:
        """Return PluginDir. The compiled-in one is right for an installed Slurm."""
        return next(self.root.glob("usr/lib/*/slurm*/auth_none.so")).parent if self.root else None

    def stepd(self) -> tuple[str, ...]:
        """Return slurmd's option for the program that looks after one step, whose path is compiled in."""
        return ("-d", str(self.root / "usr/sbin/slurmstepd")) if self.root else ()


def find_slurm() -> Slurm:
    """Return the Slurm on PATH, the one of $RESNET18_SLURM, or one made in the user's cache.

    Raises:
        NoSlurmError: none of these is possible.
    """
    if all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch")):
        root = Path(shutil.which("slurmctld") or "").resolve().parents[2]  # of ROOT/usr/sbin/slurmctld
        return Slurm(root) if root != Path("/") and (root / "usr/bin/sbatch").exists() else Slurm()
    folder = Path(os.environ.get("RESNET18_SLURM") or "~/.cache/resnet18/slurm").expanduser().absolute()
    program = folder / "usr/bin/sbatch"
    if not program.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(folder.name + ".lock")):
            if not program.exists():  # another process may have been quicker
                _unpack(folder)
    return Slurm(folder)


def _unpack(folder: Path) -> None:
    """Download the packages and unpack them, so that `folder` is there whole or not at all."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise NoSlurmError(ADVICE)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        root = Path(place) / "root"
        _call(["apt-get", "download", "--quiet", *NEEDED, *_libraries()], place)
        for package in sorted(Path(place).glob("*.deb")):
            _call(["dpkg", "-x", package.name, str(root)], place)
        for name in DAEMONS:  # the packages leave the plain names to update-alternatives
            if not (root / "usr/sbin" / name).exists():
                (root / "usr/sbin" / name).symlink_to(f"{name}-wlm")
        root.rename(folder)


def _libraries() -> list[str]:
    """Return the packages of libraries that installing Slurm would add to this machine."""
    text = _call(["apt-get", "--simulate", "--no-install-recommends", "install", *NEEDED], "/")
    return re.findall(r"^Inst (lib\S+) \(", text, re.MULTILINE)


def _call(words: list[str], folder: str) -> str:
    """Run a program in `folder` and return what it printed."""
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoSlurmError(
            f"{' '.join(words)}: {done.stderr.strip()}\nWithout lists: apt-get update. Otherwise {ADVICE}"
        )
    return done.stdout
