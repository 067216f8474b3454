"""Which names a function binds: they are numbered, so that renaming a local variable changes no hash."""

import ast
import itertools
from collections.abc import Collection, Iterator, Mapping

from resnet18.spec.code_modules import imported

NAMED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar
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
    waiting = list(nodes)
    while waiting:
        node = waiting.pop(0)
        found.update((name, f"={dotted}") for name, dotted in imported(node))
        for name in _binds(node):
            if name not in found:
                found[name] = f"%{next(numbers)}"
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting[:0] = ast.iter_child_nodes(node)
    return found


def _binds(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, NAMED) and node.name:
        yield node.name
