"""The commit that the package lies in."""

import subprocess

from resnet18.spec.identity import PACKAGE


def commit() -> str | None:
    """Return the commit's hash, None outside a git checkout."""
    return _git("rev-parse", "HEAD")


def is_dirty() -> bool | None:
    """Say whether tracked files differ from the commit, None outside a git checkout."""
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return None if changes is None else bool(changes)


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE.parent), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
