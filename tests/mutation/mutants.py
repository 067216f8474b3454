"""Small mistakes in a module, one at a time: what a test suite that is worth its name must notice.

Texts for people are left alone: a test that repeats a message word for word proves nothing. So are annotations and
docstrings.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
FOR_PEOPLE = (ast.Raise, ast.JoinedStr, ast.Assert)
"""What is inside is a message."""


@dataclass(frozen=True)
class Mutant:
    """A module's source with one mistake."""

    line: int
    what: str
    source: str
    function: range | None
    """Lines of the function that holds the mistake; None outside of any, as for what runs when it is defined."""


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    functions = _functions(ast.parse(source))
    for index, (node, _) in enumerate(_sites(ast.parse(source))):
        for which in range(len(_changes(node))):
            tree = ast.parse(source)
            site, parent = _sites(tree)[index]
            before = ast.unparse(site)
            changed = _changes(site)[which]()
            _put(parent, site, changed)
            after = ast.unparse(changed)
            what = f"{before.splitlines()[0][:70]}  ->  {after.splitlines()[0][:70]}"
            text = ast.unparse(ast.fix_missing_locations(tree))
            yield Mutant(getattr(node, "lineno", 0), what, text, functions.get(getattr(node, "lineno", 0)))


def _functions(tree: ast.AST) -> dict[int, range]:
    """Return the lines of the outermost function around each line of a body; a head belongs to what is around it."""
    found: dict[int, range] = {}
    for node in ast.walk(tree):  # from outside to inside
        if isinstance(node, ast.FunctionDef) and node.lineno not in found:
            lines = range(min(one.lineno for one in (node, *node.decorator_list)), (node.end_lineno or 0) + 1)
            found |= dict.fromkeys(range(node.body[0].lineno, lines.stop), lines)
    return found


def _sites(tree: ast.AST) -> list[tuple[ast.AST, ast.AST]]:
    """Return (node, parent) of everything that can be changed, in order."""
    found: list[tuple[ast.AST, ast.AST]] = []

    def visit(node: ast.AST) -> None:
        for name, value in ast.iter_fields(node):
            if name in {"annotation", "returns", "decorator_list"}:
                continue
            for child in value if isinstance(value, list) else [value]:
                if not isinstance(child, ast.AST) or isinstance(child, FOR_PEOPLE[1:]) or _is_text(child):
                    continue
                found.append((child, node))
                if not isinstance(child, FOR_PEOPLE):
                    visit(child)

    visit(tree)
    return found


def _is_text(node: ast.AST) -> bool:
    """Say whether a statement is a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _changes(node: ast.AST) -> list[Any]:
    """Return what can be put in a node's place, each as a function that makes it."""
    kind = type(node)
    return CHANGES[kind](node) if kind in CHANGES else []


def _compare(node: ast.Compare) -> list[Any]:
    other = COMPARISONS[type(node.ops[0])]
    return [lambda: ast.Compare(node.left, [other(), *node.ops[1:]], node.comparators)]


def _binary(node: ast.BinOp) -> list[Any]:
    other = OPERATORS.get(type(node.op))
    return [lambda: ast.BinOp(node.left, other(), node.right)] if other else []


def _constant(node: ast.Constant) -> list[Any]:
    value = node.value
    if isinstance(value, bool):
        return [lambda: ast.Constant(not value)]
    if isinstance(value, int | float):
        return [lambda: ast.Constant(value + 1)]
    return [lambda: ast.Constant(f"{value}X")] if isinstance(value, str) else []


def _is_plain(value: ast.expr | None) -> bool:
    """Say whether a value is a constant, which is changed by itself: None for False would be no mistake."""
    return value is None or isinstance(value, ast.Constant)


def _statement(node: ast.AST) -> list[Any]:
    return [ast.Pass]


CHANGES: dict[type[ast.AST], Any] = {
    ast.Compare: _compare,
    ast.BinOp: _binary,
    ast.Constant: _constant,
    ast.BoolOp: lambda node: [lambda: ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)],
    ast.UnaryOp: lambda node: [lambda: node.operand],
    ast.IfExp: lambda node: [lambda: ast.IfExp(node.test, node.orelse, node.body)],
    ast.If: lambda node: [lambda: ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)],
    ast.Return: lambda node: [] if _is_plain(node.value) else [lambda: ast.Return(None)],
    ast.Expr: _statement,
    ast.AugAssign: _statement,
    ast.Raise: _statement,
    ast.Break: _statement,
    ast.Continue: _statement,
}


def _put(parent: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for name, value in ast.iter_fields(parent):
        if value is old:
            setattr(parent, name, new)
        elif isinstance(value, list):
            setattr(parent, name, [new if one is old else one for one in value])
