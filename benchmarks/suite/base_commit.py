"""Which commit `make regress` compares this code with, and the code of that commit in a folder of its own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet18.cli.app import OF_A_CALLER
from resnet18.records import disk
from resnet18.spec.errors import printable

ROOT = Path(__file__).parents[2]
MAINS = (
    *("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "refs/heads/main", "refs/remotes/origin/master"),
    *("refs/heads/master", "refs/remotes/*/HEAD", "refs/remotes/*/main", "refs/remotes/*/master"),
)
"""Where the branch that others are merged into is looked for; HEAD of a remote names its default branch."""
NAME_ONE = "name a commit: BASE=commit"
NO_CHECKOUT = "this is no checkout of git that git can read: clone the repository with its history"


class NotMeasuredError(Exception):
    """Nothing can be compared; the text says why, and what to do."""

    def __init__(self, text: str, exit_code: int = 3) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def ending_of(text: str, most: int = 300) -> str:
    """Return the last characters of what another program has printed, on one line that no terminal obeys."""
    words = " ".join(text.split())
    return printable(words if len(words) <= most else f"…{words[-most:]}") or "no output"


def git(*words: str, what: str = NO_CHECKOUT) -> str | None:
    """Return what git answers about this checkout, also in a hook of another; None where it answers with 1, for no.

    Raises NotMeasuredError, which begins with `what`, where git is missing or meets an error. No hook is run.
    """
    own = {name: value for name, value in os.environ.items() if name not in OF_A_CALLER}
    command = ["git", "-C", str(ROOT), "-c", f"core.hooksPath={os.devnull}", *words]
    try:
        done = subprocess.run(command, env=own, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise NotMeasuredError(f"git is not installed, or cannot be started ({error.strerror}): install it") from None
    if done.returncode not in {0, 1}:
        raise NotMeasuredError(f"{what}; git says: {ending_of(done.stderr)}")
    return None if done.returncode else done.stdout.strip()


def missing(what: str) -> NotMeasuredError:
    """Return the error for a commit that is not there: in a shallow clone others are."""
    if git("rev-parse", "--is-shallow-repository") == "true":
        return NotMeasuredError(f"{what}: this clone is shallow; fetch the full history (in CI: fetch-depth: 0)")
    return NotMeasuredError(f"{what}; {NAME_ONE}")


def commit_of(name: str) -> str | None:
    """Return the hash of a commit, None where there is none; `^HEAD` and `a..b` name more than a commit."""
    question = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    found = git(*question, what=f"git knows no commit {name}")
    return None if found is None or found.startswith("^") else found


def has_changes() -> bool:
    """Return whether tracked files differ from the last commit, or there are new ones where code and specs are."""
    what = "git cannot tell whether there are changes: mend the checkout, or clone it again"
    new = ("ls-files", "--others", "--exclude-standard", "--", "resnet18", "benchmarks")
    return any(git(*words, what=what) for words in (("status", "--porcelain", "--untracked-files=no"), new))


def main_branch() -> str | None:
    """Return the full name of the branch that others are merged into, the first of MAINS that is there."""
    for pattern in MAINS:
        if found := git("for-each-ref", "--format=%(symref) %(refname)", pattern):
            return found.split()[0]
    return None


def fork_of(main: str) -> tuple[str, str] | None:
    """Return the commit where HEAD left a branch, and that in words; None on the branch, or on a commit of it."""
    parts = main.split("/", 3 if main.startswith("refs/remotes/") else 2)  # the last is the branch's own name
    if git("branch", "--show-current") == parts[-1]:
        return None
    shown = "/".join(parts[2:])
    if (fork := git("merge-base", main, "HEAD")) is None:
        raise missing(f"no commit is in the history of both HEAD and {shown}")
    return None if fork == commit_of("HEAD") else (fork, f"where HEAD left {shown}")


def chosen_base(name: str | None = None) -> tuple[str, str]:
    """Return the commit that this code is compared with, by its name if that is given, and which it is in words."""
    git("rev-parse", "--git-dir")
    if name and (named := commit_of(name)) is None:
        raise missing(f"git knows no commit {name}")
    if name:
        return str(named), "as asked for"
    if (head := commit_of("HEAD")) is None:
        raise NotMeasuredError("no commit of git is checked out here: there is nothing to compare with")
    if has_changes():
        return head, "the last commit, since there are uncommitted changes"
    main = main_branch()
    if main and (fork := fork_of(main)):
        return fork
    if (parent := commit_of("HEAD^1")) is None:
        raise missing("HEAD has no parent")
    return parent, "the first parent of HEAD" + ("" if main else f", since no main branch was found ({NAME_ONE})")


@contextmanager
def code_of(commit: str) -> Iterator[Path]:
    """Check a commit out into a folder that is gone afterwards, and return where this suite lies in it.

    The folder lies in that of git, where the next call removes what a command left that was killed.
    """
    where, common = git("rev-parse", "--show-prefix"), git("rev-parse", "--git-common-dir")
    folders = ROOT / str(common) / "resnet18-base"
    folders.mkdir(exist_ok=True)
    disk.sweep(folders)
    try:
        with disk.new_folder(folders / "base") as folder:
            code, what = folder / "code", f"{commit:.12} cannot be checked out"
            if git("worktree", "add", "--quiet", "--detach", str(code), commit, what=what) is None:
                raise NotMeasuredError(what)
            yield code / str(where)
    finally:
        git("worktree", "prune")
