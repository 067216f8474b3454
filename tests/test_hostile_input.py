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
from builders import TOML, make_record
from hypothesis import given
from hypothesis import strategies as st
from test_cifar10 import batch, binary, make_archive, python2_pickle
from test_imagefolder import files, make_tar

from resnet18.data.archives import parse_binary_batch, parse_python_batch, read_archive
from resnet18.data.source import open_data, read_image_folder
from resnet18.records.arrays import decode_picture, encode_picture
from resnet18.records.content import load_record
from resnet18.records.store import Store
from resnet18.spec.errors import IntegrityError, SpecError, SuiteError
from resnet18.spec.load import benchmarks_dir, load_benchmark

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


DRAWN = st.binary(max_size=300) | st.integers(0, 2**48)
"""Random bytes, or the seed of a mutation."""


def hostile(drawn, valid):
    """Return the random bytes, or a mutation of one of the valid files."""
    return drawn if isinstance(drawn, bytes) else mutation(valid, drawn)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile")


def written(path, content):
    path.write_bytes(content)
    return path


SPECS = [TOML.encode(), *(path.read_bytes() for path in sorted(benchmarks_dir().rglob("*.toml")))]


@given(drawn=DRAWN)
def test_a_spec_of_any_bytes_raises_only_our_own_error(folder, drawn):
    """Numbers of thousands of digits, keys of thousands of parts and arrays in arrays are among them."""
    with contextlib.suppress(SpecError):
        load_benchmark(written(folder / "mine.toml", hostile(drawn, SPECS)))


@pytest.fixture(scope="module")
def record_bytes(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    store.make_writable()
    records = [make_record(attempt=attempt, status=status) for attempt, status in enumerate(("ok", "crashed"), start=1)]
    return [store.save(record).read_bytes() for record in records]


@given(drawn=DRAWN)
def test_a_record_of_any_bytes_raises_only_our_own_error(folder, record_bytes, drawn):
    content = hostile(drawn, record_bytes)

    with contextlib.suppress(IntegrityError):
        load_record(written(folder / "0123456789abcdef.1.json", content))


PARTS = {
    "picture": (decode_picture, encode_picture(np.arange(6 * 4 * 4 * 3, dtype=np.uint8).reshape(6, 4, 4, 3))),
    "python batch": (parse_python_batch, python2_pickle(*batch(0))),
    "binary batch": (parse_binary_batch, binary(*batch(0))),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # strings of a pickle, escaped wrongly
@pytest.mark.parametrize("part", PARTS)
@given(drawn=DRAWN)
def test_a_part_of_any_bytes_raises_only_a_value_error(part, drawn):
    """Which is what its reader expects. The opcodes of a python batch are walked, not carried out."""
    read, valid = PARTS[part]

    with contextlib.suppress(ValueError):
        read(hostile(drawn, [valid]))


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    """Archives of both kinds, without compression too: with it, a flipped bit comes no farther than a checksum."""
    folder = tmp_path_factory.mktemp("cifar")
    found = {}
    for kind in ("python", "binary"):
        path, _ = make_archive(folder / f"cifar-10-{kind}.tar.gz", kind)
        with tarfile.open(path) as packed, tarfile.open(folder / "plain.tar", "w") as plain:
            for member in packed:
                plain.addfile(member, packed.extractfile(member))
        found[kind] = [path.read_bytes(), (folder / "plain.tar").read_bytes()]
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["python", "binary"])
@given(drawn=DRAWN)
def test_a_cifar_archive_of_any_bytes_raises_only_our_own_error(folder, cifar, kind, drawn):
    """Its checksum fits: whoever can give another archive may give another checksum."""
    content = hostile(drawn, cifar[kind])
    path = written(folder / f"cifar-10-{kind}.tar.gz", content)

    with contextlib.suppress(IntegrityError):
        read_archive(path, hashlib.sha256(content).hexdigest())


@pytest.fixture(scope="module")
def image_tars(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return [make_tar(folder / f"mine.{mode}", files(), mode).read_bytes() for mode in ("", "gz", "bz2", "xz")]


@given(drawn=DRAWN)
def test_an_image_folder_of_any_bytes_raises_only_our_own_error(folder, image_tars, drawn):
    path = written(folder / "mine.tar", hostile(drawn, image_tars))

    with contextlib.suppress(SuiteError):
        read_image_folder("mine", path)


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
