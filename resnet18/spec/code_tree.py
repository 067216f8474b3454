"""One definition as JSON: what it does, with a hole for each definition that it names."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnet18.spec.code_modules import PREFIX, Key, Module, definition_of, read_module
from resnet18.spec.code_scope import Scope, bound

OUTSIDE = ("measure", "records", "execution")
"""Rooms whose code measures and keeps, and changes no result."""
SILENT = {"annotation", "returns", "type_comment", "type_params", "kind", "ctx", "msg"}
"""Fields of a syntax tree that change nothing."""
C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)

Tree = list[Any] | str | int | float | bool | None
"""A syntax tree as JSON."""


@dataclass(frozen=True)
class Choices:
    """What a spec chooses by name."""

    chosen: frozenset[str]
    offered: frozenset[str]
    """All names that a spec could choose."""

    def answers(self, asked: Mapping[str, bool]) -> bool:
        """Whether these choices are those that were made, as far as somebody asked: name to whether it was chosen."""
        return all((name in self.chosen) == was_chosen for name, was_chosen in asked.items())


@dataclass
class Definition:
    """A definition's content with a hole for each definition that it names."""

    content: Tree = None
    named: list[Key] = field(default_factory=list)
    asked: dict[str, bool] = field(default_factory=dict)
    """Choices that the content depends on, and whether they were made."""


class Reader:
    """Turns one definition into its content."""

    def __init__(self, module: Module, package: Path, choices: Choices) -> None:
        self._module, self._package, self._choices = module, package, choices
        self._found = Definition()

    def _leaves_out(self, name: object) -> bool:
        """Whether a name is one that the spec could have chosen and did not."""
        if not isinstance(name, str) or name not in self._choices.offered:
            return False
        self._found.asked[name] = name in self._choices.chosen
        return not self._found.asked[name]

    def read(self, node: ast.AST) -> Definition:
        """Return the definition; its own name is no part of it."""
        content = self._tree(node, {})
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and isinstance(content, list):
            content.remove(node.name)
        self._found.content = content
        return self._found

    def _tree(self, node: object, scope: Scope) -> Tree:  # noqa: PLR0911 - one line for each kind of node
        if not isinstance(node, ast.AST):
            return self._constant(node)
        if isinstance(node, (ast.Name, ast.Attribute)) and (named := self._named(node, scope)) is not None:
            return named
        if isinstance(node, ast.Raise):
            return ["raise", _last_name(node.exc)]
        if isinstance(node, (ast.If, ast.IfExp)) and (known := self._truth(node.test, scope)) is not None:
            branch = node.body if known else node.orelse
            return self._statements(branch, scope) if isinstance(branch, list) else self._tree(branch, scope)
        if isinstance(node, (ast.Dict, ast.Set, ast.Tuple, ast.List)):
            return self._display(node, scope)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            kept = [self._tree(side, scope) for side in _sides(node) if not self._is_left_out(side, scope)]
            return ["|", *kept]
        if isinstance(node, ast.Constant):
            return self._constant(node.value)
        return [type(node).__name__, *self._fields(node, self._inside(node, scope))]

    def _fields(self, node: ast.AST, scope: Scope) -> Iterator[Tree]:
        for name, value in ast.iter_fields(node):
            if name in SILENT or value is None or value == []:
                continue
            if name in {"name", "id", "rest"}:
                yield scope.get(value, value)
            else:
                yield [name, self._statements(value, scope) if isinstance(value, list) else self._tree(value, scope)]

    def _statements(self, nodes: list[Any], scope: Scope) -> Tree:
        kept = []
        for node in nodes:
            if not self._does_nothing(node, scope):
                kept.append(self._tree(node, scope))
            if isinstance(node, ast.If) and self._truth(node.test, scope) and isinstance(node.body[-1], ast.Return):
                break  # what follows is for another choice
        return kept

    def _does_nothing(self, node: object, scope: Scope) -> bool:
        """Whether a part of a list changes no result: a docstring, an import, `pass`, a case of another choice."""
        if isinstance(node, ast.match_case) and isinstance(node.pattern, ast.MatchClass):
            return self._is_left_out(node.pattern.cls, scope)
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        return is_text or isinstance(node, (ast.Pass, ast.Import, ast.ImportFrom))

    def _constant(self, value: object) -> Tree:
        """Return a constant; the name of a C file that lies beside the module stands for what the file does."""
        if isinstance(value, str) and value.endswith((".c", ".h")) and (self._module.folder / value).is_file():
            source = (self._module.folder / value).read_text(encoding="utf-8")
            return ["c", " ".join(C_COMMENT.sub(" ", source).split())]
        return value if isinstance(value, str | int | bool | None) else ["value", repr(value)]

    def _display(self, node: ast.Dict | ast.Set | ast.Tuple | ast.List, scope: Scope) -> Tree:
        """Return a display; of a table of choices only what is chosen, in no order."""
        keys = node.keys if isinstance(node, ast.Dict) else node.elts
        names = [key.value if isinstance(key, ast.Constant) else None for key in keys]
        if names and all(name in self._choices.offered for name in names):
            values = node.values if isinstance(node, ast.Dict) else node.elts
            pairs = [(str(name), value) for name, value in zip(names, values, strict=True)]
            return [
                "chosen",
                *(
                    [name, self._tree(one, scope)]
                    for name, one in sorted(pairs, key=lambda pair: pair[0])
                    if not self._leaves_out(name)
                ),
            ]
        if isinstance(node, ast.Dict):
            return [
                "Dict",
                *(
                    [self._tree(key, scope), self._tree(value, scope)]
                    for key, value in zip(node.keys, node.values, strict=True)
                ),
            ]
        kept = (one for one in node.elts if not self._is_left_out(one, scope))
        return [type(node).__name__, *(self._tree(one, scope) for one in kept)]

    def _named(self, node: ast.Name | ast.Attribute, scope: Scope) -> Tree:
        """Return what a dotted name of the package or of a library means; None: neither, or a local variable."""
        if (dotted := self._dotted(node, scope)) is None:
            return None
        if not dotted.startswith(PREFIX):
            return ["library", dotted]
        if _is_outside(dotted):
            return ["outside"]
        if (key := definition_of(self._package, dotted)) is None:
            return None
        self._found.named.append(key)
        return ["definition"]

    def _dotted(self, node: ast.expr, scope: Scope) -> str | None:
        """Return the dotted name that a name or a chain of attributes stands for, imports looked up."""
        if isinstance(node, ast.Attribute):
            inner = self._dotted(node.value, scope)
            if inner is None or definition_of(self._package, inner) is not None:
                return None  # an attribute of a definition's value
            return f"{inner}.{node.attr}"
        if not isinstance(node, ast.Name):
            return None
        if node.id in scope:
            return scope[node.id].removeprefix("=") if scope[node.id].startswith("=") else None
        if node.id in self._module.definitions:
            return f"{PREFIX}{self._module.name}.{node.id}"
        return self._module.imports.get(node.id)

    def _inside(self, node: ast.AST, scope: Scope) -> Scope:
        """Return the scope inside a node: names that it binds are numbered, parameters keep theirs."""
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            parameters = {one.arg: one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
            body = node.body if isinstance(node.body, list) else [node.body]
            return {**scope, **bound(body, scope), **parameters}
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            return {**scope, **bound([one.target for one in node.generators], scope)}
        return scope

    def _is_left_out(self, node: ast.expr, scope: Scope) -> bool:
        """Whether a name is that of a class which describes a choice that the spec did not make."""
        dotted = self._dotted(node, scope) if isinstance(node, (ast.Name, ast.Attribute)) else None
        key = None if dotted is None or _is_outside(dotted) else definition_of(self._package, dotted)
        if key is None:
            return False
        return self._leaves_out(_choice_of(read_module(self._package, key[0]).definitions[key[1]]))

    def _equality(self, key: str, operator: ast.cmpop, other: ast.expr) -> bool | None:
        """Return what `spec.key == "name"` is: of a list of operations, several names can be chosen."""
        is_name = isinstance(other, ast.Constant) and other.value in self._choices.offered
        if key not in {"name", "path"} or not is_name or not isinstance(operator, (ast.Eq, ast.NotEq)):
            return None
        if isinstance(other, ast.Constant) and self._leaves_out(other.value):
            return isinstance(operator, ast.NotEq)
        return isinstance(operator, ast.Eq) if key == "path" else None

    def _truth(self, test: ast.expr, scope: Scope) -> bool | None:
        """Return what a condition is for this spec, None where that depends on more than its choices."""
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            return False if any(self._truth(one, scope) is False for one in test.values) else None
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self._truth(test.operand, scope)
            return None if inner is None else not inner
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            key = getattr(test.left, "attr", getattr(test.left, "id", ""))  # of `spec.path`, or of a variable `path`
            return self._equality(key, test.ops[0], test.comparators[0])
        if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "isinstance":
            kinds = test.args[1]
            sides = _sides(kinds) if not isinstance(kinds, ast.Tuple) else kinds.elts
            return False if all(self._is_left_out(side, scope) for side in sides) else None
        return None


def _is_outside(dotted: str) -> bool:
    return dotted.startswith(PREFIX) and dotted.removeprefix(PREFIX).partition(".")[0] in OUTSIDE


def _sides(node: ast.expr) -> list[ast.expr]:
    """Return the alternatives of `A | B | C`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_sides(node.left), *_sides(node.right)]
    return [node]


def _choice_of(node: ast.AST) -> str | None:
    """Return the name under which a spec chooses what a class describes: the default of its field `name`."""
    for line in node.body if isinstance(node, ast.ClassDef) else ():
        is_name = isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id == "name"
        if is_name and isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Constant):
            return str(line.value.value)
    return None


def _last_name(node: ast.expr | None) -> str | None:
    """Return the name of the exception that a `raise` raises."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None
