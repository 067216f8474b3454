"""How runs are carried out, whatever they are of. The command line reads its defaults here, so it imports little."""

from collections.abc import Mapping
from dataclasses import dataclass, field

CHECKPOINT_EVERY_S = 60.0
"""How much work a power loss may cost. Writing one takes well under a second."""


@dataclass(frozen=True)
class Policy:
    """What counts as done already, how an attempt is saved and given up, and whether it has the machine for itself."""

    keep_stale: bool = False
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    time_limit_s: float | None = None
    is_exclusive: bool = True
    gpus: tuple[str, ...] = ()
    """Names of this machine's GPUs, where it has several: each run leases its own."""
    again: Mapping[str, int] = field(default_factory=dict)
    """By run id, an attempt by which the run is no longer done: a later one counts."""


DEFAULT = Policy()
