"""pynvml, as `nvidia-ml-py` installs it; where that is missing, a stand-in whose every call says so."""

from typing import Any

MISSING = "nvidia-ml-py is not installed, so that NVML cannot be asked"


class MissingBindingsError(OSError):
    """There is no pynvml."""


class MissingPynvml:
    """Has every name that pynvml has: numbers that match nothing, errors that nobody raises, and calls that raise."""

    class NVMLError(Exception):
        """Never raised."""

    class NVMLError_FunctionNotFound(NVMLError):  # noqa: N801, N818 - pynvml's name
        """Never raised."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as of any module
        """Return a call that raises, or a number: bits that are never set, codes that are never met."""
        if name.startswith("__"):
            raise AttributeError(name)
        return 0 if name.startswith(("NVML_", "nvmlClocks", "nvmlMemory")) else _refuse


def _refuse(*_: object) -> None:
    raise MissingBindingsError(MISSING)


__all__ = ["MissingBindingsError", "pynvml"]

try:
    import pynvml
except ImportError:
    pynvml = MissingPynvml()
