"""The commit that the package lies in."""

import subprocess

from resnet18.spec.code import PACKAGE


def commit() -> str | None:
    """Return the commit's hash, None where no git checkout tracks the package."""
    return _git("rev-parse", "HEAD") if _is_tracked() else None


def is_dirty() -> bool | None:
    """Say whether tracked files differ from the commit, None where no git checkout tracks the package."""
    if not _is_tracked():
        return None
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return None if changes is None else bool(changes)


def _is_tracked() -> bool:
    """Say whether git knows this package: a virtual environment may lie inside a checkout of something else."""
    return _git("ls-files", "--error-unmatch", str(PACKAGE / "__init__.py")) is not None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE.parent), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
