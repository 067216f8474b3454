"""The hash of what a run's code does: it covers the definitions that the run's spec can reach.

Nothing that changes no result is part of it: no path, order, name of a definition or local variable, comment,
docstring, annotation, import or text of an error. A definition is a function, class or constant at the top of a module.
Where one names another, the other's content stands in the hash instead of the name. Of what the spec chooses by name
(optimizer, schedule, operations, path), a table's other entries, and branches for other choices, are left out.
"""

import hashlib
import json
from collections.abc import Collection
from functools import cache
from pathlib import Path

from resnet18.spec.code_modules import Key, read_module
from resnet18.spec.code_tree import Choices, Definition, Reader, Tree

PACKAGE = Path(__file__).parents[1]
ROUNDS = 3
"""How far a definition's hash sees: those it names, those that they name, and once more."""


def hash_of(roots: Collection[Key], choices: Choices, package: Path = PACKAGE) -> str:
    """Return the SHA-256 of the definitions that the roots reach, as 64 hexadecimal digits.

    Raises:
        KeyError: a root is no definition of the package.
    """
    found: dict[Key, Definition] = {}
    waiting = list(roots)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found[key] = _read(package, key, choices)
            waiting += found[key].named
    hashes = {key: _sha256(definition.content) for key, definition in found.items()}
    for _ in range(ROUNDS):
        hashes = {key: _sha256([hashes[key], *(hashes[one] for one in found[key].named)]) for key in found}
    return _sha256(sorted(set(hashes.values())))


def _read(package: Path, key: Key, choices: Choices) -> Definition:
    """Return a definition for these choices, read again only where they matter to it."""
    for known in (versions := _versions(package, key)):
        if choices.answers(known.asked):
            return known
    module = read_module(package, key[0])
    versions.append(Reader(module, package, choices).read(module.definitions[key[1]]))
    return versions[-1]


@cache
def _versions(_package: Path, _key: Key) -> list[Definition]:
    """Return where the versions of a definition are kept, one for each set of choices that it depends on."""
    return []


def _sha256(content: Tree) -> str:
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()
