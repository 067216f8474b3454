"""What a user types and installs: targets, commands of the README, pins, the wheel."""

import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from resnet18.spec import load
from resnet18.spec.experiment import SCALES
from resnet18.spec.load import load_benchmarks

ROOT = Path(__file__).parents[1]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def make(*arguments):
    return subprocess.run(["make", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)


CPU_TORCH = "pip install --quiet -c constraints.txt --index-url https://download.pytorch.org/whl/cpu torch torchvision"
ELSEWHERE = "VENV=.not-made-yet"


@pytest.mark.parametrize(
    ("words", "said", "unsaid"),
    [
        (f"bench-basic ENGINE=ray RESOURCES=cpus=4 {ELSEWHERE}", r'-e "\.\[ray\]"\n(.|\n)* cpus=4', "slurm"),
        (f"bench TORCH=cpu {ELSEWHERE}", rf"{CPU_TORCH}\n.* -e \. ", "recipe"),
        (f"bench {ELSEWHERE}", "pip install", "--index-url"),
        ("bench-recipe SCALE=paper", " run benchmarks/beyond/recipe.toml --scale paper", "smoke"),
        ("verify-gpu PYTHON=python3.12 LIMIT=540", r"\npython3.12 \S+verify_gpu.py --limit 540\n", "install"),
        (f"verify-gpu {ELSEWHERE}", r"\.not-made-yet/bin/python -m pip install", "--limit"),
        ("bench JOBS=2", r"resnet18 study smoke --jobs 2\n", "resnet18 run"),
        ("bench SCALE=small", r"resnet18 run --scale small\n", "study smoke"),
        ("bench BUDGET=1h", r"resnet18 run --scale smoke --budget 1h\n", "study smoke"),
        ("study STUDY=x.toml DATA=imagefolder:x", r'resnet18 study "x.toml" --data "imagefolder:x"\n', "resnet18 run"),
        ("clean", "rm -rf", "results"),
    ],
)
def test_make_calls_what_it_was_asked_for_and_nothing_else(words, said, unsaid):
    """Torch without CUDA comes before the rest, which then finds it installed; a Python that is named is left as is."""
    output = make("--dry-run", *words.split()).stdout

    assert re.search(said, f"\n{output}")
    assert unsaid not in output


def test_the_oldest_torch_of_make_is_that_of_the_project():
    """`make test-oldest` installs the lower bound."""
    oldest = dict(word.split("==") for word in re.search(r"^OLDEST +:= (.*)$", read("Makefile"), re.M)[1].split())
    bounds = dict(re.findall(r'"(torch|torchvision)>=([0-9.]+)"', read("pyproject.toml")))

    assert {name: version.removesuffix(".0") for name, version in oldest.items()} == bounds


@pytest.mark.parametrize("target", ["soak", "test-older"])
def test_make_names_test_files_that_exist(target):
    named = re.findall(r"tests/test_\w+\.py", make("--dry-run", target).stdout)

    assert [] == [name for name in named if not (ROOT / name).is_file()]
    assert named


def test_whatever_is_in_a_variable_reaches_the_command_in_one_piece():
    """Names of cases have spaces, commas and brackets, paths have words that look like assignments."""
    values = ["CASE=none [size: 8], jitter", "DATA=imagefolder:my SEED=2", "VENV=.elsewhere", "PYTHON=python3.99"]
    (line,) = [
        line for line in make("--dry-run", "-j2", "bench-device", *values).stdout.splitlines() if " run " in line
    ]

    assert {"none [size: 8], jitter", "imagefolder:my SEED=2"} < set(shlex.split(line))


def test_a_misspelt_variable_stops_make_before_anything_runs():
    done = make("--dry-run", "bench-batchsize", "SCALE=small", "SEED=2")

    assert (2, "") == (done.returncode, "".join(line for line in done.stdout.splitlines() if "directory" not in line))
    assert "SEED: unknown variable (allowed: SCALE, SEEDS, CASE," in done.stderr


def test_help_explains_targets_and_variables_to_users_first():
    """In ASCII, short enough for a terminal; what changes the suite comes last."""
    text = make("help").stdout
    users, upkeep = text.split("for those who change the suite:")
    variables = re.findall(r"^  ([A-Z_]+)=\S.*?  +\S", users, re.MULTILINE)

    assert "SCALE SEEDS CASE STUDY DEVICE DATA RESULTS JOBS BUDGET ENGINE RESOURCES TORCH" == " ".join(variables)
    names = ["bench", "bench-NAME", "bench-recipe", "study", "report", "test"]
    assert names == re.findall(r"^  make (\S+)", users, re.MULTILINE)
    assert {"check", "lock", "evidence", "verify-gpu"} < set(re.findall(r"^  make (\S+)", upkeep, re.MULTILINE))
    assert text.isascii()
    assert 100 >= max(len(line) for line in text.splitlines() if "directory" not in line)


def test_the_readmes_table_of_scales_is_that_of_the_code():
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in read("README.md").splitlines()]
    rows = {row[0]: row[1:] for row in cells if row}

    assert [str(scale.seeds) for scale in SCALES.values()] == rows["seeds"]
    assert [f"{scale.train_images:,}" for scale in list(SCALES.values())[:2]] == rows["training images"][:2]


def test_every_link_between_pages_leads_somewhere():
    pages = [path for path in ROOT.rglob("*.md") if not {".venv", "local"} & set(path.relative_to(ROOT).parts)]
    broken = [
        (page.name, target)
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]

    assert [] == broken


def test_every_installed_version_is_pinned_without_a_host_or_path():
    """Two clones on two days install the same."""
    pins = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]

    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", pin) for pin in pins)
    names = {pin.split("==")[0].lower().replace("_", "-") for pin in pins}
    project = tomllib.loads(read("pyproject.toml"))
    wanted = project["project"]["dependencies"] + [
        one for group in project["dependency-groups"].values() for one in group
    ]
    assert {re.match(r"[A-Za-z0-9_-]+", one).group().lower() for one in wanted} <= names


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, built with the hatchling that is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_all_that_the_package_reads(wheel):
    """Specs and their schema, embedded data, C sources, the page's templates; no top-level package but one."""
    listed = subprocess.run(["git", "ls-files", "resnet18"], cwd=ROOT, capture_output=True, text=True, check=True)
    patterns = ("*.toml", "*.schema.json", "runs.csv")
    specs = [path for pattern in patterns for path in (ROOT / "benchmarks").rglob(pattern)]
    expected = {Path(name) for name in listed.stdout.split() if (ROOT / name).exists()}
    expected |= {Path("resnet18/_benchmarks") / path.relative_to(ROOT / "benchmarks") for path in specs}

    found = {path.relative_to(wheel) for path in wheel.rglob("*") if path.is_file() and "dist-info" not in str(path)}
    assert expected == found


def test_an_installed_wheel_finds_its_specs(wheel, monkeypatch):
    monkeypatch.setattr(load, "PACKAGE", wheel / "resnet18")

    assert 7 == len(load_benchmarks())


def test_verifying_without_a_gpu_is_no_success():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/gpu", "-q"], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert (5, True) == (done.returncode, "no CUDA device: nothing was verified" in done.stdout + done.stderr)


def test_the_citation_names_the_version():
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]

    assert f"version: {version}\n" in read("CITATION.cff")
