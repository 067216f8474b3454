"""The code hash covers what the code does that a run can reach: tried on a small package that is changed."""

import re
import shutil
from itertools import count

import pytest
from builders import make_experiment

from resnet18.spec.experiment import Execution
from resnet18.spec.identity import PACKAGE, code_hash, hash_of, shared_code_hash

FILES = {
    "training/loop.py": '''
"""The loop."""
import math
from numpy import exp
from resnet18.measure.clock import now
from resnet18.spec.parts import Adam, Cutout, Flip, Sgd
from resnet18.training import draws, fast
from resnet18.training.draws import LOW, permutation as shuffled
from resnet18.training.optimizers import OPTIMIZERS

COUNT: int = 4  # images

def train(setup, begin=1):
    """Train."""
    started = now()
    if setup.images < COUNT:
        raise ValueError(f"{setup.images} images are too few")
    steps = [one + begin for one in shuffled(setup.images, draws.HIGH)]
    for step in steps:
        try:
            rate = rate_of(setup, exp(step))
        except KeyError as error:
            rate = str(error)
        OPTIMIZERS[setup.name](rate)
    operation = setup.operation
    if isinstance(operation, Cutout):
        return cut(operation) * LOW
    if isinstance(operation, Flip | Adam):
        return "flipped"
    if setup.path == "fast":
        return fast.run()
    return math.pi, started

def rate_of(setup, step):
    if setup.path == "reference" or step > 7:
        return step
    return fast.scaled(step)

def cut(operation):
    return operation.size // 2
''',
    "training/draws.py": '''
"""Draws."""
import numpy as np

LOW, HIGH = 0.1, 0.9

def permutation(n, high):
    words = np.random.default_rng(n)
    return sorted(words) + [high]
''',
    "training/optimizers.py": """
import torch
from resnet18.training.rules import sgd

OPTIMIZERS = {"sgd": sgd, "adam": (torch.optim.Adam, "adam.c")}
""",
    "training/rules.py": '''
"""Rules."""

def sgd(rate):
    return SOURCE, rate * 2

SOURCE = "sgd.c"
''',
    "training/sgd.c": "/* A kernel. */ p[i] * scale; // the weights\n",
    "training/adam.c": "p[i] + scale;\n",
    "training/fast/__init__.py": "from resnet18.training.fast.steps import run, scaled\n",
    "training/fast/steps.py": "def run():\n    return 1 << 16\n\ndef scaled(step):\n    return step * 3\n",
    "training/unused.py": "def unused():\n    return cut\n\nCOUNT = 5\n",
    "measure/clock.py": "def now():\n    return 7\n",
    "spec/parts.py": '''
class Sgd(Model):
    """Descent."""
    low, high = 1, 2
    name: Literal["sgd"] = "sgd"
    momentum: float = 0.0

    def factor(self, epoch: int) -> float:
        """Return it."""
        share = epoch * self.momentum
        return share

class Adam(Model):
    name: Literal["adam"] = "adam"

class Cutout(Model):
    name: Literal["cutout"] = "cutout"

class Flip(Model):
    name: Literal["flip"] = "flip"
''',
}
RUNS = {"ours": {"sgd", "Sgd", "cutout", "Cutout", "fast"}, "other": {"adam", "Adam", "flip", "Flip", "reference"}}
OFFERED = frozenset(RUNS["ours"] | RUNS["other"])
LOOP, PARTS, RULES = "training/loop.py", "spec/parts.py", "training/rules.py"
DRAWS, OPTIMIZERS = "training/draws.py", "training/optimizers.py"


@pytest.fixture
def write(tmp_path):
    """Return a writer of the package with changes: file to (old, new), to a whole text, or to None."""
    numbers = count()

    def write(changes=()):
        package = tmp_path / f"copy{next(numbers)}"
        for name, change in {**FILES, **dict(changes)}.items():
            text = FILES[name].replace(*change) if isinstance(change, tuple) else change
            assert name not in changes or text != FILES.get(name)
            if text is not None:
                (package / name).parent.mkdir(parents=True, exist_ok=True)
                (package / name).write_text(text, encoding="utf-8")
        return package

    return write


def hash_in(package, run):
    return hash_of({"train", "Sgd" if run == "ours" else "Adam"}, RUNS[run], OFFERED, package)


CHANGES = {  # what is changed, and the runs of which that is the code
    "comment": ({LOOP: ("# images", "# pictures")}, []),
    "docstrings": (
        {LOOP: ('"""Train."""', '"""Turn."""'), DRAWS: ('"""Draws."""', ""), PARTS: ('"""Return it."""', "")},
        [],
    ),
    "text of an error": ({LOOP: ("images are too few", "images do not do")}, []),
    "formatting": ({RULES: ("rate * 2", "(rate\n            *2)")}, []),
    "comments and spaces of a kernel": ({"training/sgd.c": "p[i]  *  scale; /* once\nmore */"}, []),
    "annotations": (
        {LOOP: ("COUNT: int", "COUNT: float"), PARTS: ("epoch: int) -> float", "epoch: float) -> int")},
        [],
    ),
    "import": ({LOOP: ("import math\n", "import json\nimport math\n")}, []),
    "file of a definition": (
        {DRAWS: FILES[DRAWS] + FILES[RULES], RULES: None, OPTIMIZERS: ("training.rules", "training.draws")},
        [],
    ),
    "what measures": ({"measure/clock.py": ("7", "8")}, []),
    "what no run reaches": ({"training/unused.py": ("5", "6")}, []),
    "constant": ({LOOP: ("COUNT: int = 4", "COUNT: int = 5")}, ["ours", "other"]),
    "another definition is named": ({LOOP: ("draws.HIGH", "LOW")}, ["ours", "other"]),
    "operator": ({LOOP: ("one + begin", "one - begin")}, ["ours", "other"]),
    "default argument": ({LOOP: ("begin=1", "begin=2")}, ["ours", "other"]),
    "values are exchanged": ({DRAWS: ("LOW, HIGH =", "HIGH, LOW =")}, ["ours", "other"]),
    "function that is built in": ({DRAWS: ("sorted(words)", "list(words)")}, ["ours", "other"]),
    "function of a library": ({DRAWS: ("np.random", "np.other")}, ["ours", "other"]),
    "function of another library": ({LOOP: ("from numpy import exp", "from math import exp")}, ["ours", "other"]),
    "error that is caught": ({LOOP: ("except KeyError", "except OSError")}, ["ours", "other"]),
    "default of a spec": ({PARTS: ("momentum: float = 0.0", "momentum: float = 0.5")}, ["ours"]),
    "fields of a class exchange values": ({PARTS: ("low, high = 1, 2", "high, low = 1, 2")}, ["ours"]),
    "method": ({PARTS: ("epoch * self", "epoch + self")}, ["ours"]),
    "entry of a table": ({OPTIMIZERS: ("optim.Adam", "optim.NAdam")}, ["other"]),
    "kernel that an entry names": ({"training/adam.c": ("+", "*")}, ["other"]),
    "function that an entry names": ({RULES: ("rate * 2", "rate * 3")}, ["ours"]),
    "kernel that a function names": ({"training/sgd.c": ("*", "+")}, ["ours"]),
    "branch of a class": ({LOOP: ("// 2", "// 3")}, ["ours"]),
    "branch of several classes": ({LOOP: ('"flipped"', '"turned"')}, ["other"]),
    "branch of a path": ({"training/fast/steps.py": ("1 << 16", "1 << 17")}, ["ours"]),
    "code behind a return": ({"training/fast/steps.py": ("step * 3", "step * 4")}, ["ours"]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_code_of_a_run_is_what_it_reaches_and_does(what, write):
    """Moving and rewording make no record stale, nor do entries of tables and branches for other choices."""
    changes, concerned = CHANGES[what]
    before, after = write(), write(changes)

    assert concerned == [run for run in RUNS if hash_in(before, run) != hash_in(after, run)]


def test_runs_that_are_compared_share_the_code_that_they_have_in_common():
    execution = Execution(path="fast")
    sgd, adam = (make_experiment(optimizer={"name": name, "lr": 0.01}) for name in ("sgd", "adam"))

    assert code_hash(sgd, execution) != code_hash(adam, execution)
    assert shared_code_hash(sgd, execution) == shared_code_hash(adam, execution)
    assert shared_code_hash(sgd, execution) != shared_code_hash(sgd, Execution(path="reference"))


@pytest.fixture
def copy_of_the_suite(tmp_path):
    copy = tmp_path / "resnet18"
    return shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.npz", "report", "cli"))


@pytest.mark.parametrize("path", ["reference", "fast"])
@pytest.mark.parametrize(
    ("model", "choice"),
    [
        ("ASGD", {"optimizer": {"name": "asgd", "lr": 0.1}}),
        ("Cutout", {"augmentation": [{"name": "to_tensor"}, {"name": "cutout", "size": 8}]}),
        ("Cosine", {"schedule": {"name": "cosine"}}),
    ],
)
def test_another_optimizer_operation_or_schedule_concerns_the_runs_that_name_it_alone(
    model, choice, path, copy_of_the_suite
):
    for file in (copy_of_the_suite / "spec").iterdir():
        text = re.sub(rf"(class {model}\(.*\):)\n", r"\1\n    more: int = 1\n", file.read_text(encoding="utf-8"))
        file.write_text(text, encoding="utf-8")
    runs = [(make_experiment(**changes), Execution(path=path)) for changes in ({}, choice)]

    assert [True, False] == [code_hash(*run) == code_hash(*run, copy_of_the_suite) for run in runs]


def test_the_kernels_of_the_fast_path_are_no_code_of_the_reference_path(copy_of_the_suite):
    """Whoever makes them faster voids no reference run."""
    for kernel in copy_of_the_suite.rglob("*.c"):
        kernel.write_text(f"{kernel.read_text(encoding='utf-8')} int one;", encoding="utf-8")
    runs = [(make_experiment(), Execution(path=path)) for path in ("reference", "fast")]

    assert [True, False] == [code_hash(*run) == code_hash(*run, copy_of_the_suite) for run in runs]
