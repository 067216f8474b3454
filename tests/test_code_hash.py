"""The code hash covers what the code does that a run can reach: tried on a copy of the package that is changed."""

import ast
import itertools
import re
import shutil
from pathlib import Path

import pytest
from builders import make_experiment

import resnet18
from resnet18.spec import code_tree, identity
from resnet18.spec.experiment import Execution
from resnet18.spec.identity import ROOTS, code_hash, shared_code_hash

PACKAGE = Path(resnet18.__file__).parent
SGD = {"name": "sgd", "lr": 0.01}
ADAM = {"name": "adam", "lr": 0.01}


@pytest.fixture
def copies(tmp_path):
    """Return a maker of copies of the package: each call gives another folder, whose files nobody has read."""
    numbers = itertools.count()

    def copy():
        folder = tmp_path / f"copy{next(numbers)}" / "resnet18"
        shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.npz", "page", "figures"))
        return folder

    return copy


def rewrite(folder, change, pattern="*.py"):
    """Change the text of each file."""
    for path in folder.rglob(pattern):
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def replace(folder, name, old, new):
    """Change one place of a file."""
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text, f"{name} has no {old!r}"
    (folder / name).write_text(text.replace(old, new), encoding="utf-8")


def hash_in(folder, path="fast", **changes):
    return code_hash(make_experiment(**changes), Execution(path=path), folder)


class Bare(ast.NodeTransformer):
    """Takes docstrings and annotations out, and replaces the texts of errors."""

    # ruff: noqa: D102 - ast calls its methods so
    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.returns = None
        return node

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_AnnAssign(self, node):
        self.generic_visit(node)
        node.annotation = ast.Constant(value=0)
        return node

    def visit_Expr(self, node):
        return ast.Pass() if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Raise(self, node):
        if isinstance(node.exc, ast.Call):
            node.exc.args = [ast.Constant(value="something else")]
        return node


def test_comments_docstrings_annotations_and_formatting_are_no_code(copies):
    """Every file is parsed, stripped of them, and written anew in Python's own form."""
    folder = copies()
    before = hash_in(copies())
    rewrite(folder, lambda text: ast.unparse(Bare().visit(ast.parse(text))))

    assert before == hash_in(folder)


def test_comments_and_spaces_of_a_kernel_are_no_code(copies):
    """The C sources are read like the rest."""
    folder = copies()
    before = hash_in(copies())
    for pattern in ("*.c", "*.h"):
        rewrite(folder, lambda text: "/* reworded */\n" + text.replace("\n", " // a word\n\n", 1), pattern)

    assert before == hash_in(folder)


def test_the_name_of_a_file_or_folder_is_no_code(copies):
    """A module and a folder get other names, and so do their imports."""
    folder = copies()
    before = hash_in(copies())
    (folder / "data/rng.py").rename(folder / "data/counters.py")
    (folder / "training/fast").rename(folder / "training/quick")
    rewrite(folder, lambda text: text.replace("data.rng", "data.counters"))
    rewrite(
        folder,
        lambda text: text.replace("training.fast.", "training.quick.").replace("training.fast ", "training.quick "),
    )

    assert before == hash_in(folder)


def test_where_a_definition_stands_is_no_code(copies):
    """A function moves to another module, and another one changes its place in the file."""
    folder = copies()
    before = hash_in(copies())
    source = (folder / "data/rng.py").read_text(encoding="utf-8")
    node = next(one for one in ast.parse(source).body if getattr(one, "name", "") == "permutation")
    text = ast.get_source_segment(source, node)
    replace(folder, "data/rng.py", text, "")
    (folder / "training/orders.py").write_text(
        "import numpy as np\nfrom resnet18.data.rng import random_words\n\n" + text, encoding="utf-8"
    )
    rewrite(
        folder,
        lambda text: re.sub(
            r"from resnet18.data.rng import permutation\n",
            "from resnet18.training.orders import permutation\n",
            text,
        ),
    )

    assert before == hash_in(folder)


def test_names_of_definitions_and_local_variables_are_no_code(copies):
    """A function, a constant and a variable are renamed."""
    folder = copies()
    before = hash_in(copies())
    rewrite(folder, lambda text: re.sub(r"\bpermutation\b", "shuffled", text))
    rewrite(folder, lambda text: re.sub(r"\bEVALUATION_BATCH\b", "IMAGES_AT_ONCE", text))
    rewrite(folder, lambda text: text.replace("import math\n", "import math\nimport json\n"))
    text = (folder / "training/loop.py").read_text(encoding="utf-8")
    (folder / "training/loop.py").write_text(re.sub(r"\bas_published\b", "published", text), encoding="utf-8")

    assert before == hash_in(folder)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        pytest.param("training/fast/norm.py", "MOMENTUM, EPS = 0.1, 1e-5", "MOMENTUM, EPS = 0.1, 1e-4", id="constant"),
        pytest.param("data/rng.py", "WORDS_PER_BLOCK = 4", "WORDS_PER_BLOCK = 8", id="constant of the draws"),
        pytest.param("training/loop.py", "steps + 1", "steps + 2", id="operator"),
        pytest.param("training/model.py", "x = self.maxpool(self.relu", "x = self.relu(self.maxpool", id="order"),
        pytest.param("training/fast/norm.c", "momentum * ", "momentum + ", id="kernel"),
        pytest.param("training/fast/vector.h", "16", "8", id="header of a kernel"),
        pytest.param("training/batched/kernels.c", "+", "-", id="kernel of the images"),
        pytest.param("spec/optimizer.py", "momentum: Share = 0.0", "momentum: Share = 0.5", id="default"),
        pytest.param("training/loop.py", "begin: Position = START", "begin: Position = None", id="default argument"),
    ],
)
def test_what_the_code_does_is_hashed(name, old, new, copies):
    """An operator, a constant, a kernel or a default makes it other code."""
    folder = copies()
    before = hash_in(copies(), augmentation=FLIPPED)
    replace(folder, name, old, new)

    assert before != hash_in(folder, augmentation=FLIPPED)


FLIPPED = [{"name": "random_horizontal_flip"}, {"name": "to_tensor"}]
NEW_OPTIMIZER = '''

class Lion(Model):
    """Another optimizer."""

    name: Literal["lion"] = "lion"
    lr: LearningRate


'''


def test_a_new_optimizer_makes_no_run_stale_that_does_not_name_it(copies, monkeypatch):
    """Its model, its place in the lists and its entry in the table of torch's classes."""
    before = {name: hash_in(copies(), optimizer={"name": name, "lr": 0.01}) for name in ("sgd", "adam", "asgd")}
    folder = copies()
    replace(folder, "spec/optimizer.py", "OPTIMIZERS = (SGD,", NEW_OPTIMIZER + "OPTIMIZERS = (Lion, SGD,")
    replace(folder, "training/optimizers.py", '    "sgd": torch', '    "lion": torch.optim.Lion,\n    "sgd": torch')
    replace(folder, "training/optimizers.py", 'FUSED = frozenset({"sgd"', 'FUSED = frozenset({"lion", "sgd"')
    monkeypatch.setattr(identity, "OFFERED", identity.OFFERED | {"lion"})
    identity._code_hash.cache_clear()

    assert before == {name: hash_in(folder, optimizer={"name": name, "lr": 0.01}) for name in before}


def test_another_entry_of_a_table_is_no_code_of_a_run(copies):
    """A change of Adam's entry concerns Adam's runs alone."""
    folder = copies()
    before = {name: hash_in(copies(), optimizer={"name": name, "lr": 0.01}) for name in ("sgd", "adam")}
    replace(folder, "training/optimizers.py", '"adam": torch.optim.Adam,', '"adam": torch.optim.NAdam,')
    after = {name: hash_in(folder, optimizer={"name": name, "lr": 0.01}) for name in ("sgd", "adam")}

    assert before["sgd"] == after["sgd"]
    assert before["adam"] != after["adam"]


def test_the_kernel_of_another_optimizer_is_no_code_of_a_run(copies):
    """Each has a C file, which its entry of the table of rules names; what they share is in a header."""
    before = {name: hash_in(copies(), optimizer={"name": name, "lr": 0.01}) for name in ("sgd", "adam")}
    folder, shared = copies(), copies()
    replace(folder, "training/update/adam.c", "p[i] * scale", "p[i] + scale")
    replace(shared, "training/update/update.h", "BLOCK = 2048", "BLOCK = 1024")
    after = {name: hash_in(folder, optimizer={"name": name, "lr": 0.01}) for name in before}

    assert before["sgd"] == after["sgd"]
    assert before["adam"] != after["adam"]
    assert before["sgd"] != hash_in(shared, optimizer=SGD)


def test_an_operation_or_schedule_that_is_not_named_is_no_code_of_a_run(copies):
    """Cut-outs and one-cycle rates change; a run with neither stays what it was, one with them does not."""
    folder = copies()
    plain, cut = {}, {"augmentation": [{"name": "to_tensor"}, {"name": "cutout", "size": 8}]}
    cycle = {"schedule": {"name": "one_cycle", "max_lr": 0.01}}
    before = [hash_in(copies(), **changes) for changes in (plain, cut, cycle)]
    replace(folder, "training/erase.py", "operation.size // 2", "operation.size // 3")
    replace(
        folder,
        "spec/optimizer.py",
        "peak, end = schedule.pct_start * steps - 1",
        "peak, end = schedule.pct_start * steps",
    )
    after = [hash_in(folder, **changes) for changes in (plain, cut, cycle)]

    assert [True, False, False] == [one == other for one, other in zip(before, after, strict=True)]


def test_the_fast_network_is_no_code_of_the_reference_path(copies):
    """A change of its kernels makes no reference run stale."""
    folder = copies()
    before = {path: hash_in(copies(), path) for path in ("reference", "fast")}
    replace(folder, "training/fast/norm.py", "EPS = 0.1, 1e-5", "EPS = 0.1, 1e-4")
    replace(folder, "training/fast/convolution.py", "4, 512", "4, 256")
    replace(folder, "training/update/loop.py", "b.mul_(momentum)", "b.mul_(share)")
    replace(folder, "training/batched/pipeline.py", "1 << 16", "1 << 15")
    after = {path: hash_in(folder, path) for path in ("reference", "fast")}

    assert before["reference"] == after["reference"]
    assert before["fast"] != after["fast"]


def test_what_measures_is_no_code_of_a_result(copies):
    """A clock, the report and the store may change."""
    folder = copies()
    before = hash_in(copies())
    for room in ("measure", "records", "report", "execution"):
        rewrite(folder / room, lambda text: text.replace("1", "2"))

    assert before == hash_in(folder)


def test_runs_that_are_compared_share_the_code_that_they_have_in_common(copies):
    """Optimizers differ, the loop does not; a change of the loop is seen between any two of them."""
    folder = copies()
    execution = Execution(path="fast")

    assert hash_in(PACKAGE, optimizer=SGD) != hash_in(PACKAGE, optimizer=ADAM)
    before = shared_code_hash(make_experiment(), execution, copies())
    assert before == shared_code_hash(make_experiment(optimizer=ADAM), execution, copies())
    replace(folder, "training/loop.py", "steps + 1", "steps + 2")
    assert before != shared_code_hash(make_experiment(), execution, folder)


def test_every_root_is_there():
    """A root that moved is named anew in `ROOTS`."""
    for module, name in ROOTS:
        assert name in code_tree.read_module(PACKAGE, module).definitions
