"""Where results come from: the code of this checkout, and the data."""

from dataclasses import dataclass

from resnet18.execution import git
from resnet18.records.record import Identity
from resnet18.spec.identity import code_hash, shared_code_hash
from resnet18.spec.plan import Run


@dataclass(frozen=True)
class Origin:
    """What the records of one command depend on beside their specs."""

    commit: str | None
    dirty: bool | None
    data_sha256: str

    def identity(self, run: Run) -> Identity:
        """Return what a run's record says of where its result comes from."""
        spec = (run.experiment, run.execution)
        hashes = {"code_hash": code_hash(*spec), "shared_code_hash": shared_code_hash(*spec)}
        return Identity(**hashes, commit=self.commit, dirty=self.dirty, data_sha256=self.data_sha256)

    def hashes(self, run: Run, *, keep_stale: bool) -> tuple[str | None, str | None]:
        """Return which code and data make a record of the run count; None for any."""
        return (None, None) if keep_stale else (code_hash(run.experiment, run.execution), self.data_sha256)


def origin_of(data_sha256: str) -> Origin:
    """Return the origin of results that this checkout makes from these data."""
    return Origin(git.commit(), git.is_dirty(), data_sha256)
