"""The machine around a run: locales, folders, libraries that are missing or other, processes, the network."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
from builders import TINY_ARGUMENTS, TOML, make_toml
from pydantic import TypeAdapter
from test_architecture import FILES, PACKAGE, imports_of

from resnet18.execution.processes import OF_REFERENCE, PRELOADED
from resnet18.execution.runner import git_commit
from resnet18.records.store import Store
from resnet18.spec.experiment import Execution, PathAsText
from resnet18.training.device import UnsupportedError, ready_device

PROJECT = PACKAGE.parent
NODES = {path: [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))] for path in FILES}


def named(path):
    return path.relative_to(PACKAGE).as_posix()


def calls_of(path):
    """Return (name of the function or method, call) of every call of a file."""
    calls = [node for node in NODES[path] if isinstance(node, ast.Call)]
    return [(getattr(call.func, "attr", getattr(call.func, "id", "")), call) for call in calls]


def is_text(name, call):
    """Whether a file is opened as text: no mode with a b in it, nor `open` of `os`, of a picture, or of a URL."""
    values = [getattr(value, "value", None) for value in (*call.args, *(key.value for key in call.keywords))]
    modes = [value for value in values if isinstance(value, str) and len(value) <= 3]
    of = getattr(getattr(call.func, "value", None), "id", "")
    openers = {"open", "read_text", "write_text", "fdopen", "TextIOWrapper", "NamedTemporaryFile"}
    return name in openers and of not in {"os", "Image", "opener"} and "b" not in "".join(modes)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_text_file_is_opened_with_its_encoding(path):
    texts = [call for name, call in calls_of(path) if is_text(name, call)]

    assert [] == [call.lineno for call in texts if "encoding" not in {key.arg for key in call.keywords}]


FETCHER = PACKAGE / "data" / "fetch.py"
CLIENTS = {"urllib.request", "http", "ftplib", "smtplib", "poplib", "imaplib", "xmlrpc", "ssl", "asyncio"} | {
    *("requests", "httpx", "urllib3", "aiohttp", "torch.hub", "torchvision.datasets")
}


@pytest.mark.parametrize("path", [path for path in FILES if path != FETCHER], ids=named)
def test_no_module_but_one_can_reach_the_network(path):
    """None imports a client; of `socket` only this machine's name is asked for, and a port that no other can reach.

    Save for the head of a Ray cluster, by the address that the user gave: whether anybody is there.
    """
    text = path.read_text(encoding="utf-8")

    assert [] == [one for one in imports_of(path) for client in CLIENTS if f"{one}.".startswith(f"{client}.")]
    within = ["socket.gethostname", "socket.create_server((LOOPBACK, 0))", "socket.socket"]
    if named(path) == "execution/ray_engine.py":
        within.append("socket.create_connection((host")
    assert text.count("socket.") == sum(text.count(one) for one in within)
    assert "socket.socket(" not in text  # a type alone


def test_the_module_that_reaches_the_network_is_imported_by_the_command_that_fetches_alone():
    """Inside its handler. pooch, which has downloaders of its own, is given ours."""
    users = [[named(path) for path in FILES if name in imports_of(path)] for name in ("resnet18.data.fetch", "pooch")]
    functions = [node for node in NODES[PACKAGE / "cli/data.py"] if isinstance(node, ast.FunctionDef)]
    handlers = [node.name for node in functions if "from resnet18.data.fetch import" in ast.unparse(node)]
    (retrieval,) = [call for name, call in calls_of(FETCHER) if name == "retrieve"]

    assert [["cli/data.py"], ["data/fetch.py"]] == users
    assert ["fetch_command"] == handlers
    assert "downloader" in {key.arg for key in retrieval.keywords}


def python(*words, cwd=None, **settings):
    # numpy's OpenBLAS keeps a pool of threads from its import on, and ends it before a fork by itself.
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OPENBLAS_NUM_THREADS": "1", **settings}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, encoding="ascii", check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="a locale that is not UTF-8 is common there alone")
def test_a_run_works_in_any_folder_without_a_home_under_an_ascii_locale(tmp_path):
    """Spaces, letters beyond ASCII, a long name; the home can be written by nobody.

    The command is called from a notebook, whose backend is absent here, and from a hook of another repository.
    """
    here = tmp_path / f"na\u00efve \u4e16\u754c {'d' * 180}"
    here.mkdir()
    subprocess.run(["git", "init", "--quiet", str(here)], check=True)
    make_toml(here, TOML.replace("A table", "T\u00e4ble \u4e16"))
    settings = {"LC_ALL": "C", "PYTHONUTF8": "0", "HOME": "/proc/nobody", "MPLCONFIGDIR": mpl.get_cachedir()}
    settings |= {"MPLBACKEND": "absent", "GIT_DIR": str(here / ".git"), "TMPDIR": str(here)}
    words = ["run", "mine.toml", *TINY_ARGUMENTS, "--results", "my results"]
    done = python("-m", "resnet18", *words, cwd=here, **settings)

    assert ("", 0) == (done.stderr, done.returncode)
    records = Store(here / "my results").read().records
    assert ["ok", "ok"] == [record.status for record in records]
    assert {git_commit()[0]} == {record.fingerprint.identity.commit for record in records}
    assert "T\u00e4ble \u4e16" in (here / "my results" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("words", "exit_code"), [(["run", "--help"], 0), (["nonsense"], 2)])
def test_help_is_written_on_a_narrow_terminal_under_an_ascii_locale(words, exit_code, tmp_path):
    """With whatever stands for a letter that the locale lacks."""
    done = python("-m", "resnet18", *words, cwd=tmp_path, LC_ALL="C", PYTHONUTF8="0", COLUMNS="60", NO_COLOR="1")

    assert "Traceback" not in done.stderr
    assert max(map(len, (done.stdout + done.stderr).splitlines())) <= 60
    assert exit_code == done.returncode


@pytest.fixture
def flags(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(mode=False)
    torch.set_num_threads(threads)


WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@pytest.mark.parametrize(
    ("deterministic", "found"), [(True, (False, True, ":4096:8")), (False, (True, False, None))], ids=["asked", "not"]
)
def test_a_deterministic_run_lets_cudnn_choose_nothing(deterministic, found, flags):
    """Its benchmark takes the fastest algorithm of the moment. Another run leaves cuDNN alone."""
    ready_device(Execution(device="cpu", threads=1, deterministic=deterministic))
    asked = torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()

    assert found == (*asked, os.environ.get(WORKSPACE))


def test_a_run_is_not_called_deterministic_where_cuda_has_started_without_its_workspace(flags, monkeypatch):
    """CuBLAS reads the variable when it starts: afterwards it is too late. One that was set before is kept."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(UnsupportedError, match=f"CUDA has started without {WORKSPACE}"):
        ready_device(Execution(device="cpu", threads=1, deterministic=True))
    assert WORKSPACE not in os.environ

    monkeypatch.setenv(WORKSPACE, ":16:8")
    ready_device(Execution(device="cpu", threads=1, deterministic=True))
    assert ":16:8" == os.environ[WORKSPACE]


def test_without_nvidias_bindings_figures_are_null_with_that_reason_and_training_goes_on():
    """Every module that asks NVML can be imported, and a watch closes with a reason."""
    done = python(
        "-c",
        "import sys; sys.modules['pynvml'] = None\n"
        "import types, torch\n"
        "torch.cuda.get_device_properties = lambda _: types.SimpleNamespace(uuid='00')\n"
        "from resnet18.measure.devices import present_devices\n"
        "from resnet18.measure.device_watch import DeviceWatch\n"
        "with DeviceWatch(torch.device('cuda:0')) as watch:\n"
        "    trained = torch.ones(2).sum()\n"
        "(facts, reasons), key = watch.facts(), 'device_peak_bytes'\n"
        "print(present_devices(prove=False), facts['memory'][key], float(trained), reasons[f'memory.{key}'])\n",
    )
    says = "{'cpu': 1} None 2.0 NVML did not answer (nvidia-ml-py is not installed)\n"

    assert (says, "") == (done.stdout, done.stderr)


def test_the_deprecated_bindings_are_never_asked_for():
    """The distribution `pynvml`: its name is that of the module that `nvidia-ml-py` installs."""
    texts = [(PROJECT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "constraints.txt")]

    assert [] == re.findall(r'^[ "]*pynvml', "\n".join(texts), re.MULTILINE)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of threads is read from /proc")
def test_what_the_fork_server_loads_starts_neither_threads_nor_cuda():
    """A thread, or CUDA, that is forked hangs: the kernel counts the threads, those of libraries too."""
    done = python(
        "-c",
        f"import importlib, torch\n"
        f"for name in {PRELOADED + OF_REFERENCE}: importlib.import_module(name)\n"
        "status = open('/proc/self/status', encoding='ascii').read()\n"
        "print([line for line in status.splitlines() if line.startswith('Threads')], torch.cuda.is_initialized())\n",
    )

    assert "['Threads:\\t1'] False\n" == done.stdout


def test_processes_are_never_forked_from_the_runner_itself():
    """Which may have threads of its own: they are forked from a server that has none, or spawned."""
    calls = [(name, call) for path in FILES for name, call in calls_of(path)]
    methods = {ast.unparse(call.args[0]) for name, call in calls if name in {"get_context", "set_start_method"}}

    assert {"'forkserver'", "'spawn'"} >= methods > set()
    assert [] == [name for name, _ in calls if name in {"fork", "forkpty"}]


@pytest.mark.parametrize("name", ["plain", "na\u00efve \u4e16\u754c", "\udcff\udcfe", "a b"])
def test_a_path_survives_as_text_that_json_can_hold(name):
    """Also one whose bytes are no text: under an ASCII locale that is any letter beyond it."""
    form = TypeAdapter(PathAsText)

    assert Path(name) == form.validate_json(form.dump_json(Path(name)))
