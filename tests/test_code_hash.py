"""The code hash covers what the code does that a run can reach: tried on a small package that is changed."""

import ast
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


def hash_in(package, run="ours", offered=OFFERED):
    return hash_of({"train", "Sgd" if run == "ours" else "Adam"}, RUNS[run], offered, package)


class Bare(ast.NodeTransformer):
    """Takes docstrings out, and replaces annotations and the texts of errors."""

    def visit_arg(self, node):  # noqa: D102 - ast calls it so
        return ast.arg(arg=node.arg)

    def visit_Expr(self, node):  # noqa: D102
        return ast.Pass() if isinstance(node.value, ast.Constant) else node

    def visit_Raise(self, node):  # noqa: D102
        if isinstance(node.exc, ast.Call):
            node.exc.args = [ast.Constant("another text")]
        return node


def bare(text):
    return ast.unparse(ast.fix_missing_locations(Bare().visit(ast.parse(text))))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            {name: bare(text) for name, text in FILES.items() if name.endswith(".py")},
            id="comments, docstrings, texts of errors, formatting",
        ),
        pytest.param({"training/sgd.c": "p[i]  *  scale; /* once\nmore */"}, id="comments and spaces of a kernel"),
        pytest.param({LOOP: ("COUNT: int", "COUNT: float")}, id="annotation"),
        pytest.param({LOOP: ("import math\n", "import json\nimport math\n")}, id="import"),
        pytest.param(
            {
                "training/fast/steps.py": None,
                "training/fast/work.py": FILES["training/fast/steps.py"],
                "training/fast/__init__.py": "from resnet18.training.fast.work import run, scaled\n",
            },
            id="name of a file",
        ),
        pytest.param(
            {
                "training/draws.py": FILES["training/draws.py"] + FILES[RULES],
                RULES: None,
                "training/optimizers.py": ("training.rules", "training.draws"),
            },
            id="place of a definition",
        ),
        pytest.param({"measure/clock.py": ("7", "8")}, id="what measures"),
        pytest.param({"training/unused.py": ("5", "6")}, id="what a run does not reach"),
    ],
)
def test_what_changes_no_result_is_no_code(changes, write):
    """Moving and rewording void no record."""
    assert hash_in(write()) == hash_in(write(changes))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({LOOP: ("COUNT: int = 4", "COUNT: int = 5")}, id="constant"),
        pytest.param({LOOP: ("one + begin", "one - begin")}, id="operator"),
        pytest.param({LOOP: ("begin=1", "begin=2")}, id="default argument"),
        pytest.param({LOOP: ("draws.HIGH", "LOW")}, id="another definition is named"),
        pytest.param({"training/draws.py": ("LOW, HIGH =", "HIGH, LOW =")}, id="values are exchanged"),
        pytest.param({"training/draws.py": ("sorted(words)", "list(words)")}, id="function that is built in"),
        pytest.param({"training/draws.py": ("np.random", "np.other")}, id="function of a library"),
        pytest.param({LOOP: ("from numpy import exp", "from math import exp")}, id="function of another library"),
        pytest.param({PARTS: ("momentum: float = 0.0", "momentum: float = 0.5")}, id="default of a spec"),
        pytest.param({PARTS: ("low, high = 1, 2", "high, low = 1, 2")}, id="fields of a class exchange values"),
        pytest.param({PARTS: ("epoch * self", "epoch + self")}, id="method"),
        pytest.param({"training/sgd.c": ("*", "+")}, id="kernel"),
        pytest.param({LOOP: ("except KeyError", "except OSError")}, id="error that is caught"),
        pytest.param({LOOP: ("// 2", "// 3")}, id="chosen operation"),
        pytest.param({"training/fast/steps.py": ("step * 3", "step * 4")}, id="chosen path"),
    ],
)
def test_what_the_code_does_is_hashed(changes, write):
    """Another operator, constant, kernel or default is other code, however far from the root it stands."""
    assert hash_in(write()) != hash_in(write(changes))


@pytest.mark.parametrize(
    ("changes", "concerned"),
    [
        pytest.param({"training/optimizers.py": ("optim.Adam", "optim.NAdam")}, "other", id="entry of a table"),
        pytest.param({"training/adam.c": ("+", "*")}, "other", id="kernel that an entry names"),
        pytest.param({RULES: ("rate * 2", "rate * 3")}, "ours", id="function that an entry names"),
        pytest.param({LOOP: ("// 2", "// 3")}, "ours", id="branch of a class"),
        pytest.param({LOOP: ('"flipped"', '"turned"')}, "other", id="branch of several classes"),
        pytest.param({"training/fast/steps.py": ("1 << 16", "1 << 17")}, "ours", id="branch of a path"),
        pytest.param({"training/fast/steps.py": ("step * 3", "step * 4")}, "ours", id="code behind a return"),
    ],
)
def test_what_a_spec_could_choose_concerns_the_runs_that_choose_it(changes, concerned, write):
    """Entries of tables and branches of other choices make no run stale."""
    before, after = write(), write(changes)

    assert [concerned] == [run for run in RUNS if hash_in(before, run) != hash_in(after, run)]


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


class Without(ast.NodeTransformer):
    """Takes out a class that a spec may choose, its entries in tables, and its place in unions."""

    def __init__(self, model, name):
        self.model, self.name = model, name

    def visit_ClassDef(self, node):  # noqa: D102 - ast calls it so
        return None if node.name == self.model else self.generic_visit(node)

    def visit_Dict(self, node):  # noqa: D102
        kept = [pair for pair in zip(node.keys, node.values, strict=True) if getattr(pair[0], "value", 0) != self.name]
        node.keys, node.values = [key for key, _ in kept], [value for _, value in kept]
        return self.generic_visit(node)

    def visit_BinOp(self, node):  # noqa: D102
        self.generic_visit(node)
        return node.left if ast.unparse(node.right).rpartition(".")[2] == self.model else node


@pytest.mark.parametrize("path", ["reference", "fast"])
@pytest.mark.parametrize(("model", "name"), [("ASGD", "asgd"), ("Cutout", "cutout"), ("Cosine", "cosine")])
def test_an_optimizer_an_operation_or_a_schedule_more_makes_no_run_stale(model, name, path, copy_of_the_suite):
    """A suite that lacks one is to a run that does not name it the same code."""
    texts = {file: file.read_text(encoding="utf-8") for file in copy_of_the_suite.rglob("*.py")}
    for file, text in texts.items():
        file.write_text(ast.unparse(Without(model, name).visit(ast.parse(text))), encoding="utf-8")
    run = (make_experiment(), Execution(path=path))

    assert code_hash(*run) == code_hash(*run, copy_of_the_suite)


def test_the_suite_written_anew_is_the_same_code(copy_of_the_suite):
    execution = Execution(path="fast")
    for path in copy_of_the_suite.rglob("*.py"):
        path.write_text(bare(path.read_text(encoding="utf-8")), encoding="utf-8")

    assert code_hash(make_experiment(), execution) == code_hash(make_experiment(), execution, copy_of_the_suite)


def test_the_kernels_of_the_fast_path_are_no_code_of_the_reference_path(copy_of_the_suite):
    """Whoever makes them faster voids no reference run."""
    for kernel in copy_of_the_suite.rglob("*.c"):
        kernel.write_text(f"{kernel.read_text(encoding='utf-8')} int one;", encoding="utf-8")
    runs = [(make_experiment(), Execution(path=path)) for path in ("reference", "fast")]

    assert [True, False] == [code_hash(*run) == code_hash(*run, copy_of_the_suite) for run in runs]
