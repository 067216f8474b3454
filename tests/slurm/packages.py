"""Slurm's programs without installing them: Debian's or Ubuntu's packages, unpacked once into the user's cache.

Nothing needs root and nothing outside the folder changes. It takes 13 MB, of which apt downloads 4, and a few seconds.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

FOLDER = Path("~/.cache/resnet18/slurm").expanduser()
NEEDED = ("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins")
DAEMONS = ("slurmctld", "slurmd", "slurmstepd")


def find_slurm() -> Path:
    """Return the folder that the packages are unpacked into; a RuntimeError where apt or dpkg fails."""
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(FOLDER.with_name(f"{FOLDER.name}.lock")):
        if not (FOLDER / "usr/bin/sbatch").exists():
            _unpack()
    return FOLDER


def plugins_of(slurm: Path) -> Path:
    """Return PluginDir, which is another than the compiled-in one."""
    return next(slurm.glob("usr/lib/*/slurm*/auth_none.so")).parent


def _unpack() -> None:
    """Download the packages and unpack them, so that the folder is there whole or not at all."""
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as place:
        root = Path(place) / "root"
        simulated = _call(["apt-get", "--simulate", "--no-install-recommends", "install", *NEEDED], "/")
        libraries = re.findall(r"^Inst (lib\S+) \(", simulated, re.MULTILINE)  # that this machine lacks
        _call(["apt-get", "download", "--quiet", *NEEDED, *libraries], place)
        for package in sorted(Path(place).glob("*.deb")):
            _call(["dpkg", "-x", package.name, str(root)], place)
        for name in DAEMONS:  # the packages leave the plain names to update-alternatives
            if not (root / "usr/sbin" / name).exists():
                (root / "usr/sbin" / name).symlink_to(f"{name}-wlm")
        root.rename(FOLDER)


def _call(words: list[str], folder: str) -> str:
    """Run a program in a folder and return what it printed."""
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}; without lists of packages: apt-get update")
    return done.stdout
