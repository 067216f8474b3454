"""Which names a function binds: they are numbered, so that renaming a local variable changes no hash."""

import ast
import itertools
from collections.abc import Collection, Mapping

from resnet18.spec.code_modules import imported

IMPORTS = (ast.Import, ast.ImportFrom)
INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
"""Nodes whose names are their own."""
NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
"""Nodes that bind a name of their own."""
Scope = Mapping[str, str]
"""What a function binds: a local variable's name in the hash, or what an import inside the function means."""


def bound(nodes: Collection[ast.AST], around: Scope) -> dict[str, str]:
    """Return the names that a function's body binds, numbered in their order, and what its imports mean.

    Args:
        nodes: the body.
        around: the scope around it, whose numbers go before.
    """
    found: dict[str, str] = {}
    numbers = itertools.count(sum(meaning.startswith("%") for meaning in around.values()))
    waiting = [*nodes][::-1]
    while waiting:
        node = waiting.pop()
        if isinstance(node, IMPORTS):
            found.update((name, f"={dotted}") for name, dotted in imported(node))
        elif (name := _bound_name(node)) and name not in found:
            found[name] = f"%{next(numbers)}"
        if not isinstance(node, INNER):
            waiting += [*ast.iter_child_nodes(node)][::-1]
    return found


def _bound_name(node: ast.AST) -> str | None:
    """Return the name that a node binds."""
    if isinstance(node, ast.Name):
        return node.id if isinstance(node.ctx, ast.Store) else None
    return node.name if isinstance(node, NAMED) else None
