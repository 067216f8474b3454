"""The package's files as syntax trees: what each defines, and what its imports mean. Nothing is imported for it."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
PREFIX = "resnet18."

Key = tuple[str, str]
"""Module, without the package's name, and definition."""


@dataclass(frozen=True)
class Module:
    """A parsed file: its definitions, and what its imports mean (local name to dotted name)."""

    name: str
    package: Path
    folder: Path
    definitions: Mapping[str, ast.AST]
    imports: Mapping[str, str]


@cache
def read_module(package: Path, name: str) -> Module:
    """Return a module of the package; its name is dotted and without the package's own."""
    path = package.joinpath(*name.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    body = ast.parse(file.read_bytes()).body
    definitions = dict(pair for node in body for pair in _defined(node))
    return Module(name, package, file.parent, definitions, dict(pair for node in body for pair in imported(node)))


@cache
def find(package: Path, dotted: str) -> Key | None:
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
    return None if imported_as == dotted else find(package, imported_as)  # equal: a file of the folder itself


def imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield what an import binds: local name, dotted name."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _defined(node: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    """Yield what a statement at the top of a module defines, with the syntax tree of its content."""
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
def choice_of(package: Path, key: Key) -> str:
    """Return the name under which a spec chooses what a class describes: the default of its field `name`, if any."""
    node = read_module(package, key[0]).definitions[key[1]]
    for line in node.body if isinstance(node, ast.ClassDef) else ():
        match line:
            case ast.AnnAssign(target=ast.Name(id="name"), value=ast.Constant(value=str(name))):
                return name
    return ""
