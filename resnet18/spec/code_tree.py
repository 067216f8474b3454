"""One definition of the package as JSON: what it does, with a hole for each definition that it names."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from resnet18.spec.code import PREFIX, Key, Module, choice_of, find, imported

OUTSIDE = ("measure", "records", "execution")
"""Rooms whose code measures and keeps, and changes no result."""
SILENT = {"annotation", "returns", "type_comment", "type_params", "kind", "ctx", "msg"}
"""Fields of a syntax tree that change nothing."""
NAMED = (ast.FunctionDef, ast.ClassDef, ast.ExceptHandler)
"""Nodes that bind a name of their own."""
C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)

Tree = list[Any] | str | int | float | bool | None
"""A syntax tree as JSON."""


class Choices(NamedTuple):
    """What a spec chooses by name, and all names that a spec could choose."""

    chosen: frozenset[str]
    offered: frozenset[str]


class Definition(NamedTuple):
    """What a definition does."""

    content: bytes
    """JSON with a hole for each definition that it names."""
    named: Sequence[Key]
    asked: Mapping[str, bool]
    """Choices that the content depends on, and whether they were made."""


def read_definition(module: Module, name: str, choices: Choices) -> Definition:
    """Return what a definition of a module does for these choices."""
    reader = _Reader(module, module.definitions[name], choices)
    content = json.dumps(reader.visit(module.definitions[name]), separators=(",", ":")).encode()
    return Definition(content, reader.named, reader.asked)


class _Reader(ast.NodeVisitor):
    """Turns a syntax tree into JSON: local variables are numbered, definitions become holes."""

    def __init__(self, module: Module, top: ast.AST, choices: Choices) -> None:
        self.named: list[Key] = []
        self.asked: dict[str, bool] = {}
        self._module, self._choices = module, choices
        self._imports = dict(module.imports)
        self._variables, self._kept = set[str](), set[str]()
        self._numbers: dict[str, str] = {}
        """Of variables, in the order of their appearance."""
        for node in ast.walk(top):
            self._note_names(node)

    def _note_names(self, node: ast.AST) -> None:
        """Note which names a node binds: variables, and parameters, fields and methods, which keep their names."""
        if isinstance(node, ast.arg):
            self._kept.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            self._variables.add(node.id)
        elif isinstance(node, NAMED) and node.name:
            self._variables.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._imports.update(imported(node))
        if isinstance(node, ast.ClassDef):
            self._kept.update(_last_name(getattr(line, "target", line)) for line in node.body)

    def generic_visit(self, node: ast.AST) -> Tree:
        tree: list[Tree] = [type(node).__name__]
        for name, value in ast.iter_fields(node):
            if name == "name" and value is not None:
                tree.append(self._numbered(value))
            elif name not in SILENT and value is not None and value != []:
                tree.append([name, self._tree(value)])
        return tree

    def _tree(self, value: Any) -> Tree:  # noqa: ANN401 - whatever a field of a node holds
        if isinstance(value, list):
            return self._items(value)
        tree: Tree = self.visit(value) if isinstance(value, ast.AST) else value
        return tree

    def _items(self, values: list[Any]) -> list[Tree]:
        """Return a list, such as the statements of a body, without what changes no result or is for another choice."""
        kept: list[Tree] = []
        for value in values:
            known = self._truth(value.test) if isinstance(value, ast.If) else None
            if known is not None:
                branch = value.body if known else value.orelse
                kept += self._items(branch)
                if branch and isinstance(branch[-1], ast.Return):
                    break  # what follows is for another choice
            elif not isinstance(value, ast.Pass | ast.Import | ast.ImportFrom) and not _is_text(value):
                kept.append(self._tree(value))
        return kept

    def _numbered(self, name: str) -> str:
        """Return the number of a variable, any other name as it is."""
        if name in self._kept or name not in self._variables:
            return name
        return self._numbers.setdefault(name, f"%{len(self._numbers)}")

    def visit_Name(self, node: ast.Name) -> Tree:
        return self._meaning(node) or ["Name", self._numbered(node.id)]

    def visit_Attribute(self, node: ast.Attribute) -> Tree:
        return self._meaning(node) or ["Attribute", self._tree(node.value), node.attr]

    def visit_Constant(self, node: ast.Constant) -> Tree:
        """Return a constant; the name of a C file that lies beside the module stands for what the file does."""
        value = node.value
        if isinstance(value, str) and value.endswith((".c", ".h")) and (self._module.folder / value).is_file():
            source = (self._module.folder / value).read_text(encoding="utf-8")
            return ["C", " ".join(C_COMMENT.sub(" ", source).split())]
        return value if isinstance(value, str | int | None) else ["value", repr(value)]

    def visit_Raise(self, node: ast.Raise) -> Tree:
        return ["Raise", _last_name(node.exc)]  # without its text

    def visit_IfExp(self, node: ast.IfExp) -> Tree:
        known = self._truth(node.test)
        return self.generic_visit(node) if known is None else self._tree(node.body if known else node.orelse)

    def visit_BinOp(self, node: ast.BinOp) -> Tree:
        if not isinstance(node.op, ast.BitOr):
            return self.generic_visit(node)
        return ["|", *(self._tree(side) for side in _sides(node) if not self._is_left_out(side))]

    def visit_Dict(self, node: ast.Dict | ast.Set | ast.Tuple | ast.List) -> Tree:
        """Return a display without the choices that were not made; a table of names is in no order."""
        keys = node.keys if isinstance(node, ast.Dict) else node.elts
        values = node.values if isinstance(node, ast.Dict) else [None] * len(keys)
        names = [key.value for key in keys if isinstance(key, ast.Constant) and key.value in self._choices.offered]
        if names and len(names) == len(keys):
            table = sorted(zip(map(str, names), values, strict=True), key=itemgetter(0))
            return ["chosen", *([name, self._tree(value)] for name, value in table if not self._leaves_out(name))]
        pairs = zip(keys, values, strict=True)
        kept = [[self._tree(key), self._tree(value)] for key, value in pairs if not self._is_left_out(key)]
        return [type(node).__name__, *kept]

    visit_Set = visit_Tuple = visit_List = visit_Dict  # noqa: N815 - ast calls them so

    def _dotted(self, node: ast.AST | None) -> str | None:
        """Return the dotted name that a name or a chain of attributes stands for, imports looked up."""
        if isinstance(node, ast.Attribute):
            inner = self._dotted(node.value)
            is_value = inner is None or find(self._module.package, inner) is not None
            return None if is_value else f"{inner}.{node.attr}"
        if not isinstance(node, ast.Name) or node.id in self._variables | self._kept:
            return None
        if node.id in self._module.definitions:
            return f"{PREFIX}{self._module.name}.{node.id}"
        return self._imports.get(node.id)

    def _meaning(self, node: ast.AST) -> Tree:
        """Return what a dotted name of the package or of a library means; None: neither, or a variable."""
        if (dotted := self._dotted(node)) is None:
            return None
        if not dotted.startswith(PREFIX):
            return ["library", dotted]
        if dotted.split(".")[1] in OUTSIDE:
            return ["outside"]
        if (key := find(self._module.package, dotted)) is None:
            return None
        self.named.append(key)
        return ["definition"]

    def _leaves_out(self, name: str) -> bool:
        """Say whether a name is one that the spec could have chosen and did not."""
        if name not in self._choices.offered:
            return False
        self.asked[name] = name in self._choices.chosen
        return not self.asked[name]

    def _is_left_out(self, node: ast.AST | None) -> bool:
        """Say whether a name is that of a class which describes a choice that the spec did not make."""
        dotted = self._dotted(node)
        key = find(self._module.package, dotted) if dotted else None
        return key is not None and self._leaves_out(choice_of(self._module.package, key))

    def _truth(self, test: ast.expr) -> bool | None:
        """Return what a condition is for this spec, None where that depends on more than its choices."""
        match test:
            case ast.BoolOp(op=operator, values=values):
                decisive = isinstance(operator, ast.Or)
                return decisive if any(self._truth(value) is decisive for value in values) else None
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
                sides = kinds.elts if isinstance(kinds, ast.Tuple) else _sides(kinds)
                return False if all(self._is_left_out(side) for side in sides) else None
            case ast.Compare(ops=[ast.Eq() | ast.NotEq() as operator], comparators=[ast.Constant(value=str(name))]):
                key = _last_name(test.left)  # of `spec.path`, or of a variable `path`
                if key not in {"name", "path"} or name not in self._choices.offered:
                    return None
                if self._leaves_out(name):
                    return isinstance(operator, ast.NotEq)
                return isinstance(operator, ast.Eq) if key == "path" else None  # several operations can be chosen
        return None


def _is_text(node: object) -> bool:
    """Say whether a statement is a docstring or another text that stands alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _sides(node: ast.expr) -> list[ast.expr]:
    """Return the alternatives of `A | B | C`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_sides(node.left), *_sides(node.right)]
    return [node]


def _last_name(node: ast.AST | None) -> str:
    """Return the name of a function or class, the last part of a dotted name, or that of an error with its text."""
    match node:
        case ast.Call(func=inner):
            return _last_name(inner)
        case ast.Attribute(attr=name) | ast.Name(id=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return name
    return ""
