"""Canonical JSON, SHA-256, the ids that records are found by, and the hash of the code that a run can reach.

Ids cover what a spec says beyond its defaults: a key that is added later changes no id, and no default ever changes.
The code hash covers what definitions do: files are parsed, and whatever a definition names is looked up by that name.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel

from resnet18.spec.augmentation import OPERATIONS
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.optimizer import OPTIMIZERS, SCHEDULES

PACKAGE = Path(__file__).parents[1]
ROOTS = ("train", "set_up", "ready_device", "compile_network", "restore", "conclude")
"""What the worker calls, and what gives a run its result."""
ROOMS = ("training", "data", "spec")  # code of the others changes no result
_MODELS = (*OPTIMIZERS, *SCHEDULES, *OPERATIONS.values())
OFFERED = frozenset(
    {
        *(name for model in _MODELS for name in (model.__name__, model.model_fields["name"].default)),
        *get_args(Experiment.model_fields["model"].annotation),
        *get_args(Execution.model_fields["path"].annotation),
    }
)
"""Every name by which a spec chooses an optimizer, schedule, operation, network or path, and the classes of these."""

SILENT = {"annotation", "returns", "type_comment", "type_params", "kind", "ctx", "msg"}  # change nothing
C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
Tree = list[Any] | str


def canonical_json(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return the one byte string of a JSON value: sorted keys, no spaces, ASCII, no NaN, 0.0 for -0.0."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if "-0.0" in text:
        value = json.loads(text, parse_float=lambda number: float(number) + 0.0)
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return text.encode("ascii")


def digest(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


class Ids(NamedTuple):
    """Under which a run is found. The experiment includes the seed, the arm is the run without it."""

    run_id: str
    arm_id: str
    experiment_id: str
    execution_id: str


def ids_of(experiment: Experiment, execution: Execution) -> Ids:
    """Return the ids of a run, each of 16 hexadecimal digits."""
    content = asked(experiment)
    experiment_id, execution_id = digest(content)[:16], digest(asked(execution))[:16]
    del content["seed"]
    run_id, arm_id = (digest([ours, execution_id])[:16] for ours in (experiment_id, content))
    return Ids(run_id, arm_id, experiment_id, execution_id)


def asked(spec: BaseModel) -> dict[str, Any]:
    """Return what a spec says beyond its defaults; `name` always, since it says what the other keys belong to."""

    def plain(value: object) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, BaseModel):
            return asked(value)
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    return {
        key: plain(value)
        for key, field in type(spec).model_fields.items()
        if (value := getattr(spec, key)) != field.default or key == "name"
    }


def code_hash(experiment: Experiment, execution: Execution, package: Path = PACKAGE) -> str:
    """Return the SHA-256 of what the code does that a run of this spec can reach."""
    parts = (experiment.optimizer, experiment.schedule, *experiment.augmentation, *experiment.test_augmentation)
    models = {type(part).__name__ for part in (experiment, execution, *parts)}  # they hold the defaults of the spec
    names = {part.name for part in parts}
    return hash_of({*ROOTS, *models}, {experiment.model, execution.path, *names, *models}, OFFERED, package)


def shared_code_hash(experiment: Experiment, execution: Execution, package: Path = PACKAGE) -> str:
    """Return the same for what every spec of this network and path reaches, whatever else it chooses."""
    return hash_of({*ROOTS}, {experiment.model, execution.path}, OFFERED, package)


def hash_of(roots: set[str], chosen: set[str], offered: frozenset[str], package: Path) -> str:
    """Return the SHA-256 of the definitions that roots reach, in no order and under no path.

    A definition reaches whatever it names, in its own file or else in any. Left out are comments, docstrings,
    annotations, texts of errors, and what is for names that are offered and not chosen: entries of a table, branches.
    Of `def step(x: int): return RULES[name](x)  # why`, `def step(x): return RULES[name](x)` counts, and what RULES is:
    of `RULES = {"sgd": Sgd, "adam": Adam}` in a run with SGD the first entry, and all that Sgd names, but not Adam.
    """
    known = definitions(package)
    reached = dict.fromkeys(definition for root in sorted(roots) for definition in known[root])
    waiting, texts = list(reached), set()
    for definition in waiting:  # which grows
        text, words = _read(definition, definition.words & chosen, definition.words & offered)
        texts.add(text)
        for word in words & known.keys():
            near = [other for other in known[word] if other.path == definition.path]
            waiting += (other for other in near or known[word] if other not in reached)
            reached |= dict.fromkeys(near or known[word])
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()


class Definition:
    """A statement of a file that gives a name its meaning."""

    def __init__(self, path: Path, node: ast.AST) -> None:
        self.path, self.node = path, node
        words = (getattr(inner, key, None) for inner in ast.walk(node) for key in ("id", "attr", "value"))
        self.words = frozenset(word for word in words if isinstance(word, str))


@cache
def definitions(package: Path) -> dict[str, list[Definition]]:
    """Return the definitions of each name: top-level statements, imports from libraries, and files in C."""
    found: dict[str, list[Definition]] = {}
    for path in sorted(path for room in ROOMS for path in (package / room).rglob("*.*")):
        for name, meaning in _meanings(path):
            found.setdefault(name, []).append(Definition(path, meaning))
    return found


def _meanings(path: Path) -> Iterator[tuple[str, ast.AST]]:
    if path.suffix in {".c", ".h"}:
        yield path.name, ast.Constant(" ".join(C_COMMENT.sub(" ", path.read_text(encoding="utf-8")).split()))
    for node in ast.parse(path.read_bytes()).body if path.suffix == ".py" else ():
        yield from ((name, node) for name in _targets(node))
        if isinstance(node, ast.ImportFrom):
            is_ours = str(node.module).startswith("resnet18")
            for alias in (alias for alias in node.names if alias.asname or not is_ours):
                origin = ast.Name(alias.name) if is_ours else ast.Constant(f"{node.module}.{alias.name}")
                yield alias.asname or alias.name, origin


def _targets(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement gives a meaning to: of a function, a class, variables."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    targets = [*getattr(node, "targets", ()), getattr(node, "target", ast.Pass())]
    yield from (inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name))


@cache
def _read(definition: Definition, chosen: frozenset[str], offered: frozenset[str]) -> tuple[str, set[str]]:
    """Return what a definition does, as text, and the words by which it names others."""
    reading = _Reading(chosen, offered)
    return str(reading.visit(definition.node)), reading.words - (offered - chosen)


class _Reading(ast.NodeVisitor):
    """Makes nested lists of a definition, and collects the words in it that may name others."""

    def __init__(self, chosen: frozenset[str], offered: frozenset[str]) -> None:
        self._chosen, self._offered, self._left_out = chosen, offered, offered - chosen
        self.words = set[str]()

    def generic_visit(self, node: ast.AST) -> Tree:
        fields = ((key, value) for key, value in ast.iter_fields(node) if key not in SILENT and value not in (None, []))
        return [type(node).__name__, *([key, self._tree(value)] for key, value in fields)]

    def _tree(self, value: object) -> Tree:
        if isinstance(value, list):
            return self._items(value)
        if isinstance(value, ast.AST):
            tree: Tree = self.visit(value)
            return tree
        if isinstance(value, str):
            self.words.add(value.rpartition("/")[2])  # of a file in C the name alone
        return repr(value)

    def _items(self, values: list[Any]) -> Tree:
        """Return a list, such as the statements of a body, without what changes no result or is for another choice."""
        kept: list[Tree] = []
        for value in values:
            match value:
                case ast.Pass() | ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                    pass
                case ast.If(test=test) if (known := self._truth(test)) is not None:
                    branch = value.body if known else value.orelse
                    kept += self._items(branch)
                    if branch and isinstance(branch[-1], ast.Return):
                        break  # what follows is for another choice
                case _:
                    kept.append(self._tree(value))
        return kept

    def visit_Raise(self, node: ast.Raise) -> Tree:
        return ["Raise", _last_name(node.exc)]  # without its text

    def visit_Dict(self, node: ast.Dict) -> Tree:
        keys = [getattr(key, "value", None) for key in node.keys]
        gone = self._left_out if self._offered.issuperset(keys) else ()  # a table of things that are chosen by name
        pairs = zip(keys, node.keys, node.values, strict=True)
        return ["Dict", *([self._tree(key), self._tree(value)] for name, key, value in pairs if name not in gone)]

    def _truth(self, test: ast.expr) -> bool | None:
        """Return what a condition is for this spec, None where that depends on more."""
        match test:
            case ast.BoolOp(op=operator, values=values):
                decisive = isinstance(operator, ast.Or)
                return decisive if any(self._truth(value) is decisive for value in values) else None
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
                names = {side.rpartition(".")[2] for side in ast.unparse(kinds).split(" | ")}
                return False if names <= self._left_out else None
            case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq() as is_it], comparators=[ast.Constant(str(name))]):
                if _last_name(left) in {"name", "path"} and name in self._left_out:
                    return isinstance(is_it, ast.NotEq)
                if _last_name(left) == "path" and name in self._chosen:  # of operations, several can be chosen
                    return isinstance(is_it, ast.Eq)
        return None


def _last_name(node: ast.AST | None) -> str:
    inner = getattr(node, "func", node)
    return str(getattr(inner, "attr", None) or getattr(inner, "id", ""))
