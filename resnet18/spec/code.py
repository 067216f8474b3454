"""What the package's code does, for its hash: definitions as JSON. Files are parsed; nothing is imported for it.

Left out are paths, names, order, comments, docstrings, annotations and texts of errors, and what the spec could have
chosen by name and did not: other entries of a table, branches for other choices.
"""

import ast
import builtins
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).parents[1]
PREFIX = "resnet18."
Key = tuple[str, str]  # module, without the package's name, and definition
Tree = list[Any] | str | int | float | bool | None

OUTSIDE = ("measure", "records", "execution")  # rooms whose code changes no result
SILENT = {"annotation", "returns", "type_comment", "type_params", "kind", "ctx", "msg"}  # change nothing
C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


class Choices(NamedTuple):
    """What a spec chooses by name, and all names that a spec could choose."""

    chosen: frozenset[str]
    offered: frozenset[str]


@dataclass(frozen=True)
class Module:
    """A parsed file: its definitions, and what its imports mean (local name to dotted name)."""

    name: str
    package: Path
    folder: Path
    definitions: dict[str, ast.AST]
    imports: dict[str, str]


@cache
def read_module(package: Path, name: str) -> Module:
    """Return a module of the package; its name is dotted and without the package's own."""
    path = package.joinpath(*name.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    body = ast.parse(file.read_bytes()).body
    definitions = dict(pair for node in body for pair in _defined(node))
    return Module(name, package, file.parent, definitions, dict(pair for node in body for pair in _imported(node)))


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"
        else:
            yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2


def _defined(node: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, node
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, value
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=value):
            for position, target in enumerate(names):
                if isinstance(target, ast.Name):
                    yield target.id, ast.Subscript(value, ast.Constant(position))


@cache
def _find(package: Path, dotted: str) -> Key | None:
    """Return where the definition of a dotted name stands, through re-exports; None where it is that of none."""
    name, _, inner = dotted.removeprefix(PREFIX).rpartition(".")
    path = package.joinpath(*name.split("."))
    is_file = path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
    if not dotted.startswith(PREFIX) or not name or not is_file:
        return None
    module = read_module(package, name)
    if inner in module.definitions:
        return name, inner
    imported_as = module.imports.get(inner, dotted)
    return None if imported_as == dotted else _find(package, imported_as)  # equal: a file of the folder itself


@cache
def _choice_of(package: Path, key: Key) -> str | None:
    """Return the name under which a spec chooses what a class describes, if any: the default of its field `name`."""
    for line in getattr(read_module(package, key[0]).definitions[key[1]], "body", ()):
        match line:
            case ast.AnnAssign(target=ast.Name(id="name"), value=ast.Constant(value=str(name))):
                return name
    return None


class Definition(ast.NodeVisitor):
    """What a definition does, as JSON: variables are numbered, and each definition that it names has left a hole."""

    def __init__(self, module: Module, name: str, choices: Choices) -> None:
        self.named: list[Key] = []
        self.asked: dict[str, bool] = {}
        """Choices that the content depends on, and whether they were made."""
        self._module, self._choices, self._imports = module, choices, dict(module.imports)
        self._kept = set(dir(builtins))  # names that stay, as those of fields and methods do
        self._numbers: dict[str, str] = {}
        self.content = json.dumps(self.visit(module.definitions[name]), separators=(",", ":")).encode()

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
            match value:
                case ast.Pass() | ast.Expr(value=ast.Constant()):
                    pass  # does nothing: a docstring
                case ast.Import() | ast.ImportFrom():
                    self._imports.update(_imported(value))
                case ast.If(test=test) if (known := self._truth(test)) is not None:
                    branch = value.body if known else value.orelse
                    kept += self._items(branch)
                    if branch and isinstance(branch[-1], ast.Return):
                        break  # what follows is for another choice
                case _:
                    kept.append(self._tree(value))
        return kept

    def _numbered(self, name: str) -> str:
        return name if name in self._kept else self._numbers.setdefault(name, f"%{len(self._numbers)}")

    def visit_ClassDef(self, node: ast.ClassDef) -> Tree:
        for line in node.body:
            is_field = isinstance(line, ast.Assign | ast.AnnAssign)
            self._kept.update(map(_last_name, ast.walk(line) if is_field else [line]))
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> Tree:
        return ["arg", node.arg, self._numbered(node.arg)]

    def visit_Name(self, node: ast.Name) -> Tree:
        return self._meaning(node) or ["Name", self._numbered(node.id)]

    def visit_Attribute(self, node: ast.Attribute) -> Tree:
        return self._meaning(node) or ["Attribute", self._tree(node.value), node.attr]

    def visit_Constant(self, node: ast.Constant) -> Tree:
        value = node.value  # the name of a C file beside the module stands for what the file does
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
        keys = node.keys if isinstance(node, ast.Dict) else node.elts
        values = node.values if isinstance(node, ast.Dict) else [None] * len(keys)
        is_table = all(isinstance(key, ast.Constant) and key.value in self._choices.offered for key in keys)
        kept = [
            [self._tree(key), self._tree(value)]
            for key, value in zip(keys, values, strict=True)
            if not self._is_left_out(key) and not (is_table and self._leaves_out(getattr(key, "value", "")))
        ]
        return [type(node).__name__, *kept]

    visit_Set = visit_Tuple = visit_List = visit_Dict  # noqa: N815 - ast calls them so

    def _dotted(self, node: ast.AST | None) -> str | None:
        """Return the dotted name that a name or a chain of attributes stands for, imports looked up."""
        if isinstance(node, ast.Attribute):
            inner = self._dotted(node.value)
            is_value = inner is None or _find(self._module.package, inner) is not None
            return None if is_value else f"{inner}.{node.attr}"
        if not isinstance(node, ast.Name):
            return None
        if node.id in self._module.definitions:
            return f"{PREFIX}{self._module.name}.{node.id}"
        return self._imports.get(node.id)

    def _meaning(self, node: ast.AST) -> Tree:
        """Return what a dotted name of the package or of a library means; None: neither, or a variable."""
        dotted = self._dotted(node)
        if dotted is None or not dotted.startswith(PREFIX):
            return dotted and ["library", dotted]
        if dotted.split(".")[1] in OUTSIDE:
            return ["outside"]
        if key := _find(self._module.package, dotted):
            self.named.append(key)
        return ["definition"] if key else None

    def _leaves_out(self, name: str | None) -> bool:
        if name not in self._choices.offered:
            return False
        self.asked[name] = name in self._choices.chosen
        return not self.asked[name]

    def _is_left_out(self, node: ast.AST | None) -> bool:
        """Say whether a name is that of a class for a choice that the spec did not make."""
        dotted = self._dotted(node)
        key = _find(self._module.package, dotted) if dotted else None
        return key is not None and self._leaves_out(_choice_of(self._module.package, key))

    def _truth(self, test: ast.expr) -> bool | None:
        """Return what a condition is for this spec, None where that depends on more."""
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


def _sides(node: ast.expr) -> list[ast.expr]:  # of `A | B | C`
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_sides(node.left), *_sides(node.right)]
    return [node]


def _last_name(node: ast.AST | None) -> str:
    """Return the last part of a dotted name, or the name of a definition or of what is called; else nothing."""
    inner = getattr(node, "func", node)
    return str(getattr(inner, "attr", None) or getattr(inner, "id", None) or getattr(inner, "name", ""))
