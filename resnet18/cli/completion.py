"""What the shell offers after Tab: asked on every key press, so nothing is imported or opened for it."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
SCALES = ("smoke", "small", "paper")
DATA = ("cifar10", "fashion-mnist-mini", "imagefolder:")
DEVICES = ("auto", "cpu", "cuda", "cuda:0", "mps", "xpu")
ENGINES = ("local", "ray", "slurm")
SCHEMAS = ("spec", "record")


def benchmark_names(incomplete: str) -> list[str]:
    """Return the suite's benchmarks, and the TOML files and folders of the place where the shell is."""
    own = {path.stem for folder in ("benchmarks", "resnet18/_benchmarks") for path in _toml(PACKAGE.parent / folder)}
    path = Path(incomplete)
    folder = path if incomplete.endswith("/") else path.parent
    files = [str(one) for one in _toml(folder)] + [f"{one}/" for one in folder.glob("*/") if one.name[0] != "."]
    return [name for name in (*sorted(own), *sorted(files)) if name.startswith(incomplete)]


def _toml(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.toml") if path.name[0] != "."]


def scales(incomplete: str) -> list[str]:
    """Return the scales."""
    return [one for one in SCALES if one.startswith(incomplete)]


def data_sets(incomplete: str) -> list[str]:
    """Return the data sets."""
    return [one for one in DATA if one.startswith(incomplete)]


def device_names(incomplete: str) -> list[str]:
    """Return the kinds of device."""
    return [one for one in DEVICES if one.startswith(incomplete)]


def engines(incomplete: str) -> list[str]:
    """Return the engines."""
    return [one for one in ENGINES if one.startswith(incomplete)]


def schemas(incomplete: str) -> list[str]:
    """Return what `schema` knows."""
    return [one for one in SCHEMAS if one.startswith(incomplete)]
