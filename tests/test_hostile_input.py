"""Whatever bytes a loader is given, it answers with a value or with an error of the suite's own.

Plain random bytes rarely come far, so that most of what is tried here is a valid file with flipped bits, a cut end, or
a piece of itself in another place.
"""

import contextlib
import hashlib
import random
import tarfile

import numpy as np
import pytest
from builders import TOML, make_record, make_store
from hypothesis import given
from hypothesis import strategies as st
from test_checkpoints import make_checkpoint
from test_cifar10 import batch, make_archive, python2_pickle
from test_imagefolder import files, make_tar

from resnet18.data.archives import parse_python_batch, read_archive
from resnet18.data.image_folder import read_image_folder
from resnet18.data.source import open_data
from resnet18.records.checkpoints import decode, decode_picture, encode, encode_picture
from resnet18.records.content import load_record
from resnet18.spec.errors import IntegrityError, SpecError, SuiteError
from resnet18.spec.load import benchmarks_dir, load_benchmark, suite_files
from resnet18.spec.plan import load_study

TOKENS = (b"nan", b"-inf", b"0x" + b"f" * 6_000, b"9" * 5_000, b"a." * 3_000, b"[" * 3_000, b'"\\u202e"', b"1e999", b"")
"""What a grammar may stumble over."""


def flipped(content, rng):
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(content, rng):
    return content[: rng.randrange(len(content))]


def spliced(content, rng):
    start, end = sorted(rng.randrange(len(content)) for _ in range(2))
    place = rng.randrange(len(content))
    return content[:place] + content[start:end] + content[place:]


def studded(content, rng):
    place = rng.randrange(len(content))
    return content[:place] + rng.choice(TOKENS) + content[place + rng.randrange(8) :]


def mutation(contents, seed):
    rng = random.Random(seed)  # noqa: S311 - no secret is made of it
    return rng.choice((flipped, cut, spliced, studded))(rng.choice(contents), rng)


def cifar(folder, kind):
    """Archives with and without compression: with it, a flipped bit comes no farther than a checksum."""
    path, _ = make_archive(folder / f"cifar-10-{kind}.tar.gz", kind)
    with tarfile.open(path) as packed, tarfile.open(folder / "plain.tar", "w") as plain:
        for member in packed:
            plain.addfile(member, packed.extractfile(member))
    return [path.read_bytes(), (folder / "plain.tar").read_bytes()]


def read_cifar(path):
    """Its checksum fits: whoever can give another archive may give another checksum."""
    return read_archive(path, hashlib.sha256(path.read_bytes()).hexdigest())


def records(folder):
    store = make_store(folder)
    both = [make_record(attempt=attempt, status=status) for attempt, status in enumerate(("ok", "crashed"), start=1)]
    return [store.save(record).read_bytes() for record in both]


def picture(_):
    return [encode_picture(np.arange(6 * 4 * 4 * 3, dtype=np.uint8).reshape(6, 4, 4, 3))]


SPECS = sorted({*benchmarks_dir().rglob("*.toml")} - {*suite_files("studies").values()})
READERS = {  # name of the file: what makes valid contents in a folder, what reads the file, and how that may fail
    "mine.toml": (
        lambda _: [
            TOML.encode(),
            *(path.read_bytes() for path in sorted(benchmarks_dir().rglob("*.toml")) if path.parent.name != "studies"),
        ],
        load_benchmark,
        SpecError,
    ),
    "night.toml": (
        lambda _: [path.read_bytes() for path in suite_files("studies").values()],
        lambda path: load_study(str(path)),
        SpecError,
    ),
    "0123456789abcdef.1.json": (records, load_record, IntegrityError),
    "cifar-10-python.tar.gz": (lambda folder: cifar(folder, "python"), read_cifar, IntegrityError),
    "cifar-10-binary.tar.gz": (lambda folder: cifar(folder, "binary"), read_cifar, IntegrityError),
    "mine.tar": (
        lambda folder: [make_tar(folder / f"x.{mode}", files(), mode).read_bytes() for mode in ("", "gz", "bz2", "xz")],
        lambda path: read_image_folder("mine", path),
        SuiteError,
    ),
    "a picture": (picture, lambda path: decode_picture(path.read_bytes()), ValueError),
    "a python batch": (
        lambda _: [python2_pickle(*batch(0))],
        lambda path: parse_python_batch(path.read_bytes()),
        ValueError,
    ),
    "a checkpoint": (
        lambda _: [b"".join(map(bytes, encode(make_checkpoint())))],
        lambda path: decode(path.read_bytes()),
        (ValueError, TypeError),
    ),
}


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """Valid contents of each file by its name, made once; a function, since hypothesis prints what a test is given."""
    return {name: make(tmp_path_factory.mktemp("valid")) for name, (make, *_) in READERS.items()}.get


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # strings of a pickle, escaped wrongly
@pytest.mark.parametrize("name", READERS)
@given(drawn=st.binary(max_size=300) | st.integers(0, 2**48))
def test_a_file_of_any_bytes_raises_only_our_own_error(name, valid, drawn, tmp_path_factory):
    """Of random bytes (drawn), or of a mutation with the seed that was drawn. A part raises what its reader expects."""
    _, read, expected = READERS[name]
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(drawn if isinstance(drawn, bytes) else mutation(valid(name), drawn))

    with contextlib.suppress(expected):
        read(path)


@pytest.mark.parametrize("name", ["about.json", "train_images.npy", "test_labels.npy"])
def test_a_decoded_copy_of_any_bytes_raises_only_our_own_error(name, decoded, repetitions):
    """A cache may hold anything by the time it is read."""
    source, copy = decoded
    valid = (copy / name).read_bytes()
    for seed in range(20 * repetitions(10_000 // 20)):
        rng = random.Random(seed)  # noqa: S311 - no secret is made of it
        content = rng.randbytes(rng.randrange(300)) if seed % 4 == 0 else mutation([valid], seed)
        (copy / name).write_bytes(content)
        with contextlib.suppress(IntegrityError):
            open_data(source, verify=True)
