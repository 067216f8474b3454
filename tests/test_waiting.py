"""Waiting threads sleep soon, unless the user says how they wait."""

import os
import subprocess
import sys

import pytest

from resnet18.execution.waiting import SPINS, spin_briefly


def test_threads_spin_briefly_where_nobody_chose():
    """GNU OpenMP reads this when torch loads it."""
    environment = {"HOME": "/"}
    spin_briefly(environment)

    assert {"HOME": "/", "GOMP_SPINCOUNT": str(SPINS)} == environment


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_what_the_user_chose_stays(name):
    """Either variable decides how threads wait."""
    environment = {name: "ACTIVE"}
    spin_briefly(environment)

    assert {name: "ACTIVE"} == environment


def test_a_run_has_it(tmp_path):
    """It is set before the process that loads torch is started, so that each run inherits it."""
    environment = {key: value for key, value in os.environ.items() if key not in {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}}
    code = (
        "import os\n"
        "from resnet18.execution import process\n"
        "process._context()\n"
        "print(os.environ['GOMP_SPINCOUNT'], 'torch' in __import__('sys').modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert f"{SPINS} False" == said.stdout.strip()
