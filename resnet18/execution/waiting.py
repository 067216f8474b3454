"""How long threads of a parallel operation spin before they sleep. Imported before torch, whose OpenMP reads it."""

import os
from collections.abc import MutableMapping

SPINS = 10_000
"""Half a millisecond: as fast as GNU OpenMP's own 300,000 on a quiet machine (docs/decisions/0014)."""
CHOSEN_BY_USER = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def spin_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads sleep soon, unless the user has chosen how they wait. It changes no result.

    GNU OpenMP reads the variable when it is loaded; processes that start later inherit it. Other OpenMP libraries
    (macOS, Windows) have no such variable.
    """
    if not any(name in environment for name in CHOSEN_BY_USER):
        environment["GOMP_SPINCOUNT"] = str(SPINS)
