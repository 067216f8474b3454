"""The package's files as syntax trees: what each defines, and what its imports mean. Nothing is imported for it."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PREFIX = "resnet18."

Key = tuple[str, str]
"""Module, without the package's name, and definition."""


@dataclass(frozen=True)
class Module:
    """A parsed file: its definitions, and what its imports mean."""

    name: str
    folder: Path
    definitions: Mapping[str, ast.AST]
    imports: Mapping[str, str]
    """Local name to dotted name."""


@cache
def read_module(package: Path, name: str) -> Module:
    """Return a module of the package; its name is dotted and without the package's own."""
    file = package.joinpath(*name.split(".")).with_suffix(".py")
    if not file.exists():
        file = package.joinpath(*name.split("."), "__init__.py")
    definitions: dict[str, ast.AST] = {}
    imports: dict[str, str] = {}
    for node in ast.parse(file.read_bytes()).body:
        imports.update(imported(node))
        definitions.update(_defined(node))
    return Module(name, file.parent, definitions, imports)


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
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name, node
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        yield node.target.id, node.value
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _assigned(target, node.value)
    elif isinstance(node, ast.If | ast.Try):
        for child in (*node.body, *node.orelse):
            yield from _defined(child)


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple):
        is_split = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
        values = value.elts if is_split and isinstance(value, ast.Tuple) else [value] * len(target.elts)
        for inner, part in zip(target.elts, values, strict=True):
            yield from _assigned(inner, part)


@cache
def is_module(package: Path, name: str) -> bool:
    """Whether a dotted name is that of a file or folder of the package."""
    path = package.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def definition_of(package: Path, dotted: str) -> Key | None:
    """Return where the definition of a dotted name stands, through re-exports; None where it is that of none."""
    name, _, inner = dotted.removeprefix(PREFIX).rpartition(".")
    if not dotted.startswith(PREFIX) or not name or not is_module(package, name):
        return None
    module = read_module(package, name)
    return (name, inner) if inner in module.definitions else definition_of(package, module.imports.get(inner, ""))
