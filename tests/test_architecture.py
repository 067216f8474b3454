"""The house: imports go one way, heavy ones only where they are needed, and nothing is unpickled."""

import ast
import graphlib
import re
import sys
from pathlib import Path

import pytest

import resnet18

PACKAGE = Path(resnet18.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# The import table of the design. A room may import itself, and what stands here.
MAY_IMPORT = {
    "__init__.py": set(),
    "__main__.py": {"cli"},
    "cli": {"__version__", "report", "gate", "judge", "audit", "tables", "execution", "training", "data", "records"}
    | {"measure", "spec"},
    "report": {"judge", "audit", "gate", "tables", "records", "spec"},
    "gate": {"tables", "records", "spec"},
    "judge": {"tables", "records", "spec"},
    "audit": {"spec"},
    "tables": {"records", "spec"},
    "execution": {"data", "records", "spec"},
    "training": {"data", "records", "measure", "spec"},
    "data": {"records", "spec"},
    "records": {"spec"},
    "measure": {"spec"},
    "spec": set(),
}
WORKER = "execution/worker.py"
NO_TORCH = ("__main__.py", "cli", "report", "gate", "judge", "audit", "tables", "execution", "data", "records", "spec")


def imports_of(path):
    """Yield every imported module of a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}


@pytest.fixture(params=FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def path(request):
    return request.param


def test_imports_go_down_the_table(path):
    """Only the worker may import how a network is trained and what it costs; torch only where networks are."""
    name, room = path.relative_to(PACKAGE).as_posix(), path.relative_to(PACKAGE).parts[0]
    allowed = MAY_IMPORT[room] | {room} | ({"training", "measure"} if name.startswith(WORKER) else set())
    modules = set(imports_of(path))
    rooms = {module.split(".")[1] for module in modules if module.startswith("resnet18.")}
    heavy = {module.split(".")[0] for module in modules} & {"torch", "torchvision"}

    assert set() == rooms - allowed
    assert not heavy or room not in NO_TORCH or name.startswith(WORKER)


def test_the_spec_needs_only_pydantic_and_the_standard_library():
    """So that planning is quick and the room could be lifted out."""
    modules = {module.split(".")[0] for path in (PACKAGE / "spec").rglob("*.py") for module in imports_of(path)}

    assert modules - {"resnet18", "pydantic", "pydantic_core"} <= sys.stdlib_module_names


def test_nothing_is_unpickled(path):
    """Neither pickle and its kin, nor torch.load, nor numpy with pickles allowed."""
    text = path.read_text(encoding="utf-8")
    kin = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

    assert set() == {module.split(".")[0] for module in imports_of(path)} & kin
    assert "torch.load" not in text
    assert text.count("np.load(") == text.count("allow_pickle=False") - text.count("np.save(")


WRITERS = {
    "cli/options.py": {"typer.echo"},
    "execution/progress.py": {"self._console.print", "self._console.file.write"},
    "execution/attempt.py": {"sys.stderr.write"},
    "execution/worker.py": {"sys.stderr.write"},
    "__main__.py": {"sys.stderr.write"},  # where that function cannot be imported; it prints a `repr`
}
"""What prints for people, through the function that writes out what a terminal obeys; so does the format of logs."""
PRINTS = re.compile(
    r"(.*\b(print|echo|secho|print_exc|print_exception)|sys\.std\w+\.write|.*\.file\.write"
    r"|warnings\.warn)$"
)


def test_only_the_writers_print(path):
    """Whatever else prints, or declares a text to be safe HTML, would go around them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]

    assert set(filter(PRINTS.match, calls)) <= WRITERS.get(path.relative_to(PACKAGE).as_posix(), set())
    assert calls.count("Markup") == (3 if path.name == "page.py" else 0)


def test_a_file_fits_on_a_few_screens_and_says_what_it_is(path):
    """At most 260 lines, functions of at most 60, a docstring on top."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]

    assert ast.get_docstring(tree)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 260
    assert [] == [node.name for node in functions if node.end_lineno - node.lineno > 60]


def module_of(path):
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def test_no_files_import_each_other_in_a_circle():
    """Imports inside functions count, those for types alone do not."""
    names, graph = set(map(module_of, FILES)), {}
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in [node for node in ast.walk(tree) if isinstance(node, ast.If)]:
            if getattr(node.test, "id", "") == "TYPE_CHECKING":
                node.body = []
        found = set()
        for node in [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & names or {node.module} & names
        graph[module_of(path)] = found - {module_of(path)}

    graphlib.TopologicalSorter(graph).prepare()
