"""Compiled C, optional: made by the system's compiler when it is first needed, and kept beside the decoded data.

Without a compiler there is none, and the same is computed in torch. The record's numerics say which it was.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from resnet18.measure.processor import cpu_flags_sha256
from resnet18.spec.data import data_home

SWITCH = "RESNET18_NATIVE"
"""In the environment: `off` switches compiled code off; `avx2` compiles for an x86 processor without AVX-512 and AMX,
to see and test here what such a processor computes."""
OFF, OLDER = "off", "avx2"
X86 = {"x86_64", "amd64"}
COMPILE_LIMIT_S = 120
NATIVE = "-march=native"


def is_older() -> bool:
    """Whether to compile for an older processor than this one."""
    return os.environ.get(SWITCH) == OLDER and platform.machine().lower() in X86


def load_library(
    name: str, sources: Iterable[Path], headers: Iterable[Path], flags: tuple[str, ...]
) -> ctypes.CDLL | None:
    """Return the library of C sources, compiled if it is not yet in the data home; None where that cannot be done.

    Args:
        name: what the file is called; a digest of all that it depends on follows.
        sources: the files to compile.
        headers: the files that those include.
        flags: of the compiler; `-march=native` becomes what says the same of the processor to compile for.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None or os.environ.get(SWITCH) == OFF:
        return None
    sources = tuple(sources)
    flags = tuple(_processor_flag() if flag == NATIVE else flag for flag in flags)
    key = hashlib.sha256(repr((compiler, flags, platform.machine(), cpu_flags_sha256())).encode())
    for file in (*sources, *headers):
        key.update(file.read_bytes())
    kind = f"{name}-{OLDER}" if is_older() else name
    library = data_home() / "native" / f"{kind}-{key.hexdigest()[:16]}.so"
    try:
        if not library.exists():
            _compile(library, [compiler, *flags, "-shared", "-fPIC", *map(str, sources), "-lm"])
        return ctypes.CDLL(str(library))
    except (OSError, subprocess.SubprocessError):
        return None


def _processor_flag() -> str:
    """Return what says `compile for this processor`; compilers for ARM take -mcpu."""
    if platform.machine().lower() not in X86:
        return "-mcpu=native"
    return "-march=haswell" if is_older() else NATIVE


def _compile(library: Path, command: list[str]) -> None:
    """Compile under another name first: processes that start together never load half a file."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        built = Path(folder) / library.name
        subprocess.run([*command, "-o", str(built)], check=True, capture_output=True, timeout=COMPILE_LIMIT_S)
        built.replace(library)
