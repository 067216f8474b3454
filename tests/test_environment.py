"""The machine around a run: locales, folders, libraries that are missing or other, processes, the network."""

import ast
import hashlib
import os
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
from builders import TINY_ARGUMENTS, TOML, make_toml

import resnet18
from resnet18.execution.process import OF_REFERENCE, PRELOADED
from resnet18.execution.worker_questions import check_torch
from resnet18.measure import processor
from resnet18.measure.environment import ONEDNN, VARIABLES, numerics
from resnet18.measure.processor import ONEDNN_PREFIXES, cpu_flags_sha256, cpu_model, emulates_bf16
from resnet18.records.store import Store
from resnet18.spec.data import path_from_text, path_to_text
from resnet18.spec.errors import EnvironmentMissingError
from resnet18.spec.experiment import Execution
from resnet18.training.device import UnsupportedError, ready_device

PACKAGE = Path(resnet18.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
PROJECT = PACKAGE.parent
CPU = torch.device("cpu")


def named(path):
    return path.relative_to(PACKAGE).as_posix()


def calls_of(path):
    """Yield (name of the function or method, call) of every call of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node


def is_binary(call):
    """Whether a call of `open` has a mode with a b in it, or is one of `os`, of a picture, or of a URL."""
    owner = getattr(getattr(call.func, "value", None), "id", "")
    words = [one.value for one in (*call.args, *(key.value for key in call.keywords)) if isinstance(one, ast.Constant)]
    return owner in {"os", "Image", "opener"} or any(
        isinstance(word, str) and "b" in word and len(word) <= 3 for word in words
    )


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_text_file_is_opened_with_its_encoding(path):
    """That of the locale is another on every machine."""
    texts = {"open", "read_text", "write_text", "fdopen", "TextIOWrapper", "NamedTemporaryFile"}
    bare = [
        f"{name} in line {call.lineno}"
        for name, call in calls_of(path)
        if name in texts and "encoding" not in {key.arg for key in call.keywords} and not is_binary(call)
    ]

    assert [] == bare


def modules_of(path):
    """Return every imported module of a file, and every name imported from one."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules


FETCHER = PACKAGE / "data" / "web.py"
CLIENTS = {"urllib.request", "http", "ftplib", "smtplib", "poplib", "imaplib", "xmlrpc", "ssl", "asyncio"} | {
    *("requests", "httpx", "urllib3", "aiohttp", "torch.hub", "torchvision.datasets")
}


@pytest.mark.parametrize("path", [path for path in FILES if path != FETCHER], ids=named)
def test_no_module_but_one_can_reach_the_network(path):
    """None imports a client; of `socket` only this machine's name is asked for, and a port that no other can reach.

    Save for the head of a Ray cluster, by the address that the user gave: whether anybody is there.
    """
    text = path.read_text(encoding="utf-8")

    assert [] == [one for one in modules_of(path) for client in CLIENTS if f"{one}.".startswith(f"{client}.")]
    within = ["socket.gethostname", "socket.create_server((LOOPBACK, 0))", "socket.socket"]
    if named(path) == "execution/engines/ray_nodes.py":
        within.append("socket.create_connection((host")
    assert text.count("socket.") == sum(text.count(one) for one in within)
    assert "socket.socket(" not in text  # a type alone


def test_the_module_that_reaches_the_network_is_imported_by_the_command_that_fetches_alone():
    """Inside its handler. pooch, which has downloaders of its own, is given ours."""
    users = {
        name: {named(path) for path in FILES if name in modules_of(path)}
        for name in ("resnet18.data.web", "resnet18.data.fetch", "pooch")
    }
    tree = ast.parse((PACKAGE / "cli/data.py").read_text(encoding="utf-8"))
    handlers = [
        function.name
        for function in tree.body
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and node.module == "resnet18.data.fetch"
    ]
    given = [call for name, call in calls_of(PACKAGE / "data/fetch.py") if name == "retrieve"]

    assert [{"data/fetch.py"}, {"cli/data.py"}, {"data/fetch.py"}] == list(users.values())
    assert ["fetch_command"] == handlers
    assert [True] == ["downloader" in {key.arg for key in call.keywords} for call in given]


@pytest.mark.skipif(sys.platform != "linux", reason="a locale that is not UTF-8 is common there alone")
def test_a_run_works_in_any_folder_without_a_home_under_an_ascii_locale(tmp_path):
    """Spaces, letters beyond ASCII, a long name; the home can be written by nobody."""
    here = tmp_path / f"na\u00efve \u4e16\u754c {'d' * 180}"
    here.mkdir()
    make_toml(here, TOML.replace("A table", "T\u00e4ble \u4e16"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    settings = {"LC_ALL": "C", "PYTHONUTF8": "0", "HOME": "/proc/nobody", "PYTHONPATH": str(PROJECT)}
    fonts = {"MPLCONFIGDIR": mpl.get_cachedir()}
    command = [sys.executable, "-m", "resnet18", "run", "mine.toml", *TINY_ARGUMENTS, "--results", "my results"]
    done = subprocess.run(command, cwd=here, env=clean | settings | fonts, capture_output=True, check=False)

    assert (b"", 0) == (done.stderr, done.returncode)
    assert ["ok", "ok"] == [record.status for record in Store(here / "my results").read().records]
    assert "T\u00e4ble \u4e16" in (here / "my results" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["nonsense"]])
def test_help_is_written_on_a_narrow_terminal_under_an_ascii_locale(words, tmp_path):
    """With whatever stands for a letter that the locale lacks."""
    settings = {"LC_ALL": "C", "PYTHONUTF8": "0", "COLUMNS": "60", "NO_COLOR": "1", "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "resnet18", *words]
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, check=False)

    assert b"Traceback" not in done.stderr
    assert max(map(len, (done.stdout + done.stderr).splitlines())) <= 60
    assert (2 if words == ["nonsense"] else 0) == done.returncode


CPU_INFO = "processor\t: 0\nmodel name\t: A processor\n{key}\t\t: {flags}\n\nprocessor\t: 1\n{key}\t: other\n"


@pytest.mark.parametrize("key", ["flags", "Features"])
def test_what_the_processor_can_do_is_part_of_the_fingerprint_whatever_the_order(key, tmp_path, monkeypatch):
    """Two of one name may differ in it: a hypervisor hides what it likes."""
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    found = []
    for flags in ("fpu sse avx2", "avx2 fpu sse", "fpu sse"):
        (tmp_path / "cpuinfo").write_text(CPU_INFO.format(key=key, flags=flags), encoding="utf-8")
        found.append(numerics(Execution(), CPU)["cpu_flags_sha256"])

    assert hashlib.sha256(b"avx2 fpu sse").hexdigest() == found[0] == found[1]
    assert found[2] != found[0]


@pytest.mark.parametrize("text", [None, "", "processor : 0\n"])
def test_a_system_that_does_not_tell_what_its_processor_can_do_has_no_such_key(text, tmp_path, monkeypatch):
    """Rather than the hash of nothing."""
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")

    assert cpu_flags_sha256() is None
    assert "cpu_flags_sha256" not in numerics(Execution(), CPU)


ARM = """processor\t: {at}
Features\t: fp asimd
{more}CPU implementer\t: {0}
CPU part\t: {1}
CPU variant\t: {2}
CPU revision\t: {3}

"""
NEOVERSE = ("0x41", "0xd0c", "0x3", "1")


def arm_model(monkeypatch, path, *kinds, more=""):
    """What a machine of these ARM processors is called."""
    monkeypatch.setattr(processor, "CPU_INFO", path)
    monkeypatch.setattr(processor.platform, "system", lambda: "Linux")
    path.write_text("".join(ARM.format(*kind, at=at, more=more) for at, kind in enumerate(kinds)), encoding="utf-8")
    return cpu_model()


@pytest.mark.parametrize("more", ["", "model name\t: ARMv8 Processor rev 1 (v8l)\n"], ids=["no name", "one for all"])
def test_an_arm_processor_is_told_by_its_maker_and_its_numbers(more, tmp_path, monkeypatch):
    """Linux has no name for it, or the same one for many."""
    found = arm_model(monkeypatch, tmp_path / "cpuinfo", NEOVERSE, NEOVERSE, more=more)

    assert "ARM implementer 0x41, part 0xd0c, variant 0x3, revision 1" == found


@pytest.mark.parametrize("at", range(4))
def test_arm_processors_that_differ_in_one_number_are_two(at, tmp_path, monkeypatch):
    """Maker, part, variant and revision each count: times of the two are not averaged."""
    other = (*NEOVERSE[:at], "7", *NEOVERSE[at + 1 :])
    one, two = (arm_model(monkeypatch, tmp_path / "cpuinfo", kind) for kind in (NEOVERSE, other))

    assert one != two


def test_a_machine_of_big_and_little_processors_is_told_by_all_kinds(tmp_path, monkeypatch):
    """Whichever is listed first."""
    little = ("0x41", "0xd05", "0x1", "0")
    one = arm_model(monkeypatch, tmp_path / "cpuinfo", NEOVERSE, little)

    assert "0xd0c" in one
    assert "0xd05" in one
    assert one == arm_model(monkeypatch, tmp_path / "cpuinfo", little, NEOVERSE, little)


@pytest.mark.parametrize(
    "text",
    [None, "", "processor : 0\n", "processor : 0\nCPU implementer : 0x41\nmodel name :\n", "CPU part : 0xd0c\n"],
)
def test_a_processor_of_which_linux_tells_too_little_is_unknown(text, tmp_path, monkeypatch):
    """The architecture, which platform.processor() gives there, is no name: every processor of it has the same."""
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(processor.platform, "system", lambda: "Linux")
    monkeypatch.setattr(processor.platform, "processor", lambda: "aarch64")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")

    assert "unknown" == cpu_model()


@pytest.mark.parametrize(
    ("script", "name"),
    [("echo Apple M1 Max", "Apple M1 Max"), ("exit 1", "unknown"), ("echo", "unknown"), (None, "unknown")],
)
def test_on_macos_the_system_is_asked_for_the_name(script, name, tmp_path, monkeypatch):
    """Where it has no answer the processor is unknown: `arm` would be the same for all."""
    monkeypatch.setattr(processor.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(processor.platform, "processor", lambda: "arm")
    monkeypatch.setattr(processor, "SYSCTL", str(tmp_path / "sysctl"))
    if script is not None:
        (tmp_path / "sysctl").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / "sysctl").chmod(0o755)

    assert name == cpu_model()


@pytest.mark.parametrize(
    ("key", "flags", "most", "expected"),
    [
        ("flags", "fpu avx2 avx512f", "", True),
        ("flags", "fpu avx512f avx512_bf16", "", False),
        ("flags", "fpu amx_bf16", "", False),
        ("flags", "fpu avx2 avx_ne_convert", "", False),
        ("flags", "fpu avx512f avx512_bf16", "avx2", True),
        ("flags", "fpu avx512f avx512_bf16", "AVX512_CORE_BF16", False),
        ("Features", "fp asimd", "", True),
        ("Features", "fp asimd bf16", "", False),
        ("other", "nothing", "", False),
    ],
)
def test_bf16_is_emulated_where_no_instruction_for_it_may_be_used(key, flags, most, expected, tmp_path, monkeypatch):
    """Where nothing is known, nobody is warned."""
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "")
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", most)
    (tmp_path / "cpuinfo").write_text(f"{key} : {flags}\n", encoding="utf-8")

    assert expected == emulates_bf16()


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_that_can_change_bits_is_in_the_fingerprint_as_it_is(name, monkeypatch):
    """In a key of its own, and in no other."""
    monkeypatch.delenv(name, raising=False)
    before = numerics(Execution(), CPU)
    monkeypatch.setenv(name, "As it is")

    assert {**before, name: "As it is"} == numerics(Execution(), CPU)


@pytest.mark.parametrize("name", [name for name in VARIABLES if name.startswith(ONEDNN)])
def test_the_older_name_of_a_variable_of_onednn_gives_the_same_fingerprint(name, monkeypatch):
    """One key for both names: they do the same."""
    found = []
    for one in (name, name.replace(*ONEDNN_PREFIXES)):
        with monkeypatch.context() as patch:
            patch.delenv(name, raising=False)
            patch.setenv(one, "AVX2")
            found.append(numerics(Execution(), CPU))

    assert found[0] == found[1]
    assert "AVX2" == found[0][name]


@pytest.mark.parametrize(("newer", "counts"), [("AVX2", "AVX2"), ("", "SSE41")])
def test_of_both_names_of_a_variable_the_one_that_counts_for_onednn_is_recorded(newer, counts, monkeypatch):
    """The newer one, unless it is empty."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", newer)
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "SSE41")

    assert counts == numerics(Execution(), CPU)["ONEDNN_MAX_CPU_ISA"]


ISA = "import torch; torch.nn.Conv2d(8, 8, 3)(torch.zeros(2, 8, 16, 16))"


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_onednn_itself_prefers_the_newer_name_that_is_not_empty():
    """Told by oneDNN: the fingerprint copies its rule."""
    rules = [("", "SSE41"), ("SSE41", "AVX2"), ("SSE41", "")]
    said = []
    for newer, older in rules:
        settings = {**os.environ, "ONEDNN_MAX_CPU_ISA": newer, "DNNL_MAX_CPU_ISA": older, "ONEDNN_VERBOSE": "1"}
        done = subprocess.run([sys.executable, "-c", ISA], env=settings, capture_output=True, text=True, check=True)
        said += [line.partition("isa:")[2] for line in done.stdout.splitlines() if "info,cpu,isa:" in line]
    if len(said) < len(rules) or platform.machine() != "x86_64":
        pytest.skip("this oneDNN does not tell which instructions it uses")

    assert ["Intel SSE4.1"] * 3 == said


@pytest.mark.parametrize(
    ("place", "version", "key"),
    [
        ("torch.__version__", "0.0.1", "torch"),
        ("resnet18.measure.environment.importlib.metadata.version", lambda _: "0.0.1", "torchvision"),
    ],
)
def test_another_version_is_another_fingerprint_in_that_key_alone(place, version, key, monkeypatch):
    """So that a comparison can name what changed."""
    before = numerics(Execution(), CPU)
    monkeypatch.setattr(place, version)
    after = numerics(Execution(), CPU)

    assert {key: "0.0.1"} == {name: value for name, value in after.items() if before[name] != value}


@pytest.fixture
def flags(monkeypatch):
    """Torch's flags, given back after the test."""
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(mode=False)
    torch.set_num_threads(threads)


def test_a_deterministic_run_lets_cudnn_choose_nothing(flags):
    """Its benchmark takes the fastest algorithm of the moment."""
    ready_device(Execution(device="cpu", threads=1, deterministic=True))

    assert (False, True) == (torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled())
    assert ":4096:8" == os.environ["CUBLAS_WORKSPACE_CONFIG"]


def test_another_run_leaves_cudnn_alone(flags):
    """The timing profile promises no bits."""
    ready_device(Execution(device="cpu", threads=1))

    assert torch.backends.cudnn.benchmark


def test_a_run_is_not_called_deterministic_where_cuda_has_started_without_its_workspace(flags, monkeypatch):
    """CuBLAS reads the variable when it starts: afterwards it is too late."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)

    with pytest.raises(UnsupportedError, match="CUDA has started without CUBLAS_WORKSPACE_CONFIG"):
        ready_device(Execution(device="cpu", threads=1, deterministic=True))
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_a_workspace_that_was_set_before_is_kept(flags, monkeypatch):
    """There are two that cuBLAS is deterministic with."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    ready_device(Execution(device="cpu", threads=1, deterministic=True))

    assert ":16:8" == os.environ["CUBLAS_WORKSPACE_CONFIG"]


def python(code):
    # numpy's OpenBLAS keeps a pool of threads from its import on, and ends it before a fork by itself.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)


def test_without_nvidias_bindings_figures_are_null_with_that_reason_and_training_goes_on():
    """Every module that asks NVML can be imported, and a watch closes with a reason."""
    done = python(
        "import sys; sys.modules['pynvml'] = None\n"
        "import types, torch\n"
        "torch.cuda.get_device_properties = lambda _: types.SimpleNamespace(uuid='00')\n"
        "from resnet18.measure.devices import present_devices\n"
        "from resnet18.measure.nvml import watch_device\n"
        "with watch_device(torch.device('cuda:0')) as watch:\n"
        "    trained = torch.ones(2).sum()\n"
        "facts = watch.facts()\n"
        "print(present_devices(prove=False), facts.memory['device_peak_bytes'], float(trained))\n"
        "print(facts.reasons['memory.device_peak_bytes'])\n"
    )

    assert "" == done.stderr
    assert [
        "{'cpu': 1} None 2.0",
        "nvidia-ml-py is not installed, so that NVML cannot be asked",
    ] == done.stdout.splitlines()


def test_the_deprecated_bindings_are_never_asked_for():
    """The distribution `pynvml`: its name is that of the module that `nvidia-ml-py` installs."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [one for group in project["dependency-groups"].values() for one in group if isinstance(one, str)]
    pins = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()

    assert [] == [one for one in [*project["project"]["dependencies"], *groups, *pins] if one.startswith("pynvml")]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of threads is read from /proc")
def test_what_the_fork_server_loads_starts_neither_threads_nor_cuda():
    """A thread, or CUDA, that is forked hangs: the kernel counts the threads, those of libraries too."""
    done = python(
        f"import importlib, torch\n"
        f"for name in {PRELOADED + OF_REFERENCE}: importlib.import_module(name)\n"
        "status = open('/proc/self/status', encoding='ascii').read()\n"
        "print([line for line in status.splitlines() if line.startswith('Threads')], torch.cuda.is_initialized())\n"
    )

    assert "['Threads:\\t1'] False\n" == done.stdout


def test_processes_are_never_forked_from_the_runner_itself():
    """Which may have threads of its own: they are forked from a server that has none, or spawned."""
    methods = [
        ast.unparse(call.args[0])
        for path in FILES
        for name, call in calls_of(path)
        if name in {"get_context", "set_start_method"} and call.args
    ]

    assert {"'forkserver'", "'spawn'"} >= set(methods)
    assert methods
    assert [] == [named(path) for path in FILES for name, call in calls_of(path) if name in {"fork", "forkpty"}]


@pytest.mark.parametrize("name", ["plain", "na\u00efve \u4e16\u754c", "\udcff\udcfe", "a b"])
def test_a_path_survives_as_text_that_json_can_hold(name):
    """Also one whose bytes are no text: under an ASCII locale that is any letter beyond it."""
    text = path_to_text(Path(name))

    assert text == text.encode("utf-8").decode("utf-8")
    assert Path(name) == path_from_text(text)


def test_a_torch_older_than_the_tests_pass_with_is_refused_with_the_command_that_helps():
    """Asked before the first run; the bound is that of the project."""
    with pytest.raises(EnvironmentMissingError, match=r"torch 2\.10\.3\+cpu: is older than 2\.11(.|\n)*pip install"):
        check_torch("2.10.3+cpu")
    check_torch("2.11.0")
    check_torch("3.0.0a0+git1")
