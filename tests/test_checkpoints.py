"""Checkpoint files: whole or not used, never unpickled, and the one before still there."""

import hashlib
import json

import numpy as np
import pytest
from test_cifar10 import payload

from resnet18.records import disk
from resnet18.records.checkpoints import FIRST_LINE, Checkpoint, Checkpoints, Head, encode, load_checkpoint
from resnet18.records.record import Segment
from resnet18.spec.errors import IntegrityError

RUN = "0123456789abcdef"
GOLDEN = "c53da2c88f48f4cefbe82d1c1e826718fcf22597eaee3e89c39af8d65c7e01de"


def make_checkpoint(step=1, **arrays):
    head = Head(
        run_id=RUN,
        code_hash="c" * 64,
        data_sha256="d" * 64,
        numerics={"threads": 1, "mkldnn": True},
        segments=(Segment(start="2026-01-01T00:00:00+00:00", end="2026-01-01T00:00:09+00:00"),),
        epochs=(),
        time={"wall_s": 9.0},
        training={"epoch": 1, "steps": step},
    )
    given = arrays or {"model/w": np.arange(6, dtype=np.float32).reshape(2, 3), "optimizer/0/step": np.float32(step)}
    return Checkpoint(head, {name: np.asarray(array) for name, array in given.items()})


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path, RUN)


def contents(checkpoint):
    return checkpoint.head.model_copy(update={"arrays": ()}), {
        name: (array.dtype.str, array.shape, array.tobytes()) for name, array in checkpoint.arrays.items()
    }


def test_a_checkpoint_reads_back_as_it_was_written(checkpoints):
    """Every kind of number, every bit, a single number and no numbers at all among them; it can be written to."""
    arrays = {kind: np.ones((2, 2), kind) for kind in ("<f8", "<f4", "<f2", "<i8", "<i4", "|u1", "|b1")}
    arrays |= {"a": np.float64(-0.0), "b": np.zeros((0, 3), np.int64), "c": np.array([np.nan, np.inf], np.float32)}
    before = checkpoints.latest()
    checkpoints.save(make_checkpoint(**arrays))
    found, refused = checkpoints.latest()

    assert (None, ()) == before
    assert (contents(make_checkpoint(**arrays)), ()) == (contents(found), refused)
    assert all(array.flags.writeable for array in found.arrays.values())


def test_the_bytes_of_a_checkpoint_are_golden(checkpoints):
    """The same on every machine, however the arrays lie in memory; the file is named by their hash."""
    path, plain = checkpoints.save(make_checkpoint()), make_checkpoint()
    turned = {name: np.array(array, ">f4", order="F") for name, array in plain.arrays.items()}

    assert f"{RUN}.00000001.{GOLDEN}.checkpoint" == path.name
    assert GOLDEN == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.read_bytes() == checkpoints.save(make_checkpoint(**turned)).read_bytes()


def test_the_last_two_of_a_run_are_kept_until_they_are_cleared(checkpoints, tmp_path):
    """Those of other runs are left alone."""
    other = Checkpoints(tmp_path, "f" * 16)
    other.save(make_checkpoint())
    for step in (1, 2, 3):
        checkpoints.save(make_checkpoint(step))
    kept = [load_checkpoint(path).head.training["steps"] for path in checkpoints.files()]
    latest = checkpoints.latest()[0].head.training["steps"]
    (checkpoints.folder / f".{RUN}.00000004.x.checkpoint.0.tmp").touch()  # its writer was killed
    checkpoints.clear()

    assert ([2, 3], 3) == (kept, latest)
    assert other.files() == [*checkpoints.folder.iterdir()]


def test_a_damaged_checkpoint_is_refused_and_the_one_before_is_used(checkpoints):
    """Wherever it was cut, and whichever bit was flipped, in the JSON and in the numbers."""
    checkpoints.save(make_checkpoint(1))
    path = checkpoints.save(make_checkpoint(2))
    whole = path.read_bytes()
    flipped = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 3)]
    for damaged in [*(whole[:length] for length in range(0, len(whole), 7)), *flipped]:
        path.write_bytes(damaged)
        found, refused = checkpoints.latest()

        assert 1 == found.head.training["steps"]
        assert [(path.name, "is damaged: its SHA-256 is another")] == [(error.where, error.what) for error in refused]


def test_a_disk_that_gives_back_other_bytes_is_found_out_at_once(checkpoints, monkeypatch):
    """And the checkpoint before stays."""
    checkpoints.save(make_checkpoint(1))
    write_new = disk.write_new
    monkeypatch.setattr(disk, "write_new", lambda path, *parts: write_new(path, *parts[:-1]))
    with pytest.raises(IntegrityError, match="reads back otherwise"):
        checkpoints.save(make_checkpoint(2))

    assert [1] == [load_checkpoint(path).head.training["steps"] for path in checkpoints.files()]


def named(folder, content):
    """A file whose name says its hash, as any attacker can make it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{RUN}.00000001.{hashlib.sha256(content).hexdigest()}.checkpoint"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("start", [b"", FIRST_LINE, FIRST_LINE + b"{}\n"])
def test_a_pickle_in_a_checkpoint_is_never_read(start, checkpoints, tmp_path):
    named(checkpoints.folder, start + payload(tmp_path / "harm"))

    assert checkpoints.latest()[0] is None
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"arrays": [{"name": "a", "kind": "|O", "shape": [1]}]},
        {"arrays": [{"name": "a", "kind": "<f4", "shape": [-1]}]},
        {"arrays": [{"name": "a", "kind": "<f4", "shape": [2**60]}]},
        {"arrays": [{"name": "a", "kind": "<f4", "shape": [0]}] * 2},
        {"arrays": []},
        {"run_id": "../../x"},
        {"unknown": 1},
        {"time": {"wall_s": -1.0}},
    ],
    ids=["objects", "negative", "too large", "twice", "left over", "run id", "unknown key", "negative time"],
)
def test_a_head_that_does_not_fit_is_refused(change, checkpoints):
    """Objects would be pointers, and sizes beyond the file would be somebody else's memory."""
    parts = [bytes(part) for part in encode(make_checkpoint())]
    head = {**json.loads(parts[1]), **change}
    path = named(checkpoints.folder, b"".join([parts[0], json.dumps(head).encode(), *parts[2:]]))

    with pytest.raises(IntegrityError, match="is no checkpoint"):
        load_checkpoint(path)


def test_a_link_in_place_of_a_checkpoint_is_not_followed(checkpoints, tmp_path):
    path = checkpoints.save(make_checkpoint())
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    assert checkpoints.latest()[0] is None


@pytest.mark.parametrize("serial", ["99999999", "99999998", "00000007"])
def test_a_checkpoint_is_found_again_whatever_number_a_planted_file_has(serial, checkpoints):
    checkpoints.save(make_checkpoint(step=1))
    (checkpoints.folder / f"{RUN}.{serial}.{'a' * 64}.checkpoint").write_bytes(b"planted")
    for step in (2, 3, 4):
        checkpoints.save(make_checkpoint(step=step))
    found, _ = checkpoints.latest()

    assert contents(make_checkpoint(step=4)) == contents(found)
    assert 2 == len(list(checkpoints.folder.iterdir()))
