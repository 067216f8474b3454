"""The commands `data fetch`, `data verify` and `data where`: exit codes, and what is printed."""

import json
from dataclasses import replace

import pytest
from archive_server import CONTENT, HALF, NAME, make_archive, serving
from test_cifar10 import make_archive as make_cifar
from typer.testing import CliRunner

from resnet18.cli.app import app
from resnet18.data import sources
from resnet18.data.cifar10 import ARCHIVES
from resnet18.data.source import open_data
from resnet18.spec.data import parse_data


@pytest.fixture
def cli(home, monkeypatch):
    """Call `resnet18 data`, with a data home of the test's own."""
    monkeypatch.delenv(sources.OWN_URL, raising=False)
    return lambda *arguments: CliRunner().invoke(app, ["data", *map(str, arguments)])


@pytest.fixture
def archive(home, monkeypatch):
    """A small archive in its place, whose checksum is the expected one."""
    home.mkdir()
    path, sha256 = make_cifar(home / NAME, "python")
    monkeypatch.setitem(ARCHIVES, NAME, sha256)
    monkeypatch.setattr(sources, "PYTHON", replace(sources.PYTHON, sha256=sha256, size_bytes=path.stat().st_size))
    return path


@pytest.fixture
def copy(archive, home):
    """And its decoded copy."""
    open_data(parse_data("cifar10"), verify=False)
    return home / "decoded" / f"cifar10-{ARCHIVES[NAME][:16]}"


def test_fetch_takes_the_users_source_and_says_what_comes_next(cli, home, monkeypatch):
    """The mirrors are not asked."""
    with serving() as server:
        monkeypatch.setenv(sources.OWN_URL, server.url("good"))
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setattr(sources, "PYTHON", make_archive())
        result = cli("fetch")

    assert 0 == result.exit_code
    assert CONTENT == (home / NAME).read_bytes()
    assert f"from 127.0.0.1:{server.server_port}\n" in result.output
    assert "next: resnet18 run --scale small" in result.output


def test_fetch_without_a_source_that_answers_ends_with_5(cli, monkeypatch):
    """And no traceback."""
    monkeypatch.setattr(sources, "PYTHON", make_archive("http://127.0.0.1:1/"))
    result = cli("fetch")

    assert 5 == result.exit_code
    assert "no source gives it" in result.output
    assert "Traceback" not in result.output


def test_fetch_that_is_interrupted_ends_with_130_and_keeps_the_part(cli, home, monkeypatch):
    """The same command goes on."""

    class Interrupted:
        start = 0
        pieces = iter([CONTENT[:HALF]])

        def read(self, most):
            for piece in self.pieces:
                return piece
            raise KeyboardInterrupt

        def close(self):
            pass

    monkeypatch.setattr(sources, "PYTHON", make_archive("https://a/"))
    monkeypatch.setattr("resnet18.data.web.connect", lambda *_: Interrupted())
    result = cli("fetch")

    assert 130 == result.exit_code
    assert "20 kB of 40 kB are kept" in result.output
    assert "to go on with what is missing" in result.output
    assert CONTENT[:HALF] == (home / f"{NAME}.part").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["fetch", "cifar100"], 2, '(did you mean "cifar10"?) (allowed: cifar10)'),
        (["verify", "fashion-mnist-mini"], 2, "is part of the package"),
        (["fetch", "--from", "nowhere"], 5, "there is no such file"),
        (["fetch", "--from", __file__], 4, "is no archive of CIFAR-10"),
        (["verify"], 5, "resnet18 data fetch"),
    ],
)
def test_a_mistake_is_answered_with_its_exit_code(arguments, exit_code, words, cli):
    """What is allowed, or what comes next."""
    result = cli(*arguments)

    assert exit_code == result.exit_code
    assert words in result.output


def test_a_file_that_is_brought_is_named_as_the_archive_that_it_is(cli, home, tmp_path, monkeypatch):
    """The binary archive, which no mirror has."""
    path, sha256 = make_cifar(tmp_path / "mine.tar.gz", "binary")
    monkeypatch.setattr(sources, "BINARY", replace(sources.BINARY, sha256=sha256))

    assert 0 == cli("fetch", "--from", path).exit_code
    assert path.read_bytes() == (home / "cifar-10-binary.tar.gz").read_bytes()


def test_verify_finds_archive_and_copy_right(cli, copy):
    """One row each, for scripts too."""
    rows = json.loads(cli("verify", "--json").stdout)

    assert 0 == cli("verify", "cifar10").exit_code
    assert [("archive", "right"), ("decoded", "right")] == [(row["kind"], row["state"]) for row in rows]


def test_verify_finds_a_damaged_archive(cli, archive):
    """Exit code 4, and the command that replaces it."""
    archive.write_bytes(archive.read_bytes()[:-1])
    result = cli("verify")

    assert 4 == result.exit_code
    assert f"damaged: {archive}" in result.output
    assert "replace it: resnet18 data fetch" in result.output


def test_verify_finds_a_damaged_copy(cli, copy):
    """Exit code 4, and what to delete."""
    labels = copy / "train_labels.npy"
    whole = labels.read_bytes()
    labels.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    result = cli("verify", "--json")

    assert 4 == result.exit_code
    assert ["right", "damaged"] == [row["state"] for row in json.loads(result.stdout)]
    assert "delete this folder" in result.stderr


def test_verify_misses_an_archive_whose_copy_is_there(cli, archive, copy):
    """No run starts from a copy alone."""
    archive.unlink()

    assert 5 == cli("verify").exit_code


def test_where_names_the_folder_and_what_is_in_it(cli, copy, home):
    """Archives, copies with the label of their data set, and sizes."""
    (home / f"{NAME}.part").write_bytes(b"12345")
    found = json.loads(cli("where", "--json").stdout)
    text = cli("where").stdout

    assert str(home) == found["folder"]
    assert [("archive", "cifar10"), ("part", "cifar10"), ("decoded", "cifar10")] == [
        (one["kind"], one["label"]) for one in found["holds"]
    ]
    assert [(home / NAME).stat().st_size, 5] == [one["bytes"] for one in found["holds"]][:2]
    assert all(word in text for word in (str(home), NAME, copy.name, "5 B"))


def test_where_says_how_to_fill_an_empty_folder(cli, home):
    """And does not make it."""
    result = cli("where")

    assert 0 == result.exit_code
    assert "next: resnet18 data fetch" in result.output
    assert not home.exists()


def test_a_run_without_its_archive_asks_for_nothing_else(cli, home, monkeypatch):
    """Neither a cluster, nor a device, nor the results folder."""
    for name in ("resnet18.execution.engines.sites.reach", "resnet18.measure.devices.present_devices"):
        monkeypatch.setattr(name, None)
    result = CliRunner().invoke(app, ["run", "--scale", "small", "--results", str(home / "results")])

    assert 5 == result.exit_code
    assert "next: resnet18 data fetch" in result.output
    assert not home.exists()
