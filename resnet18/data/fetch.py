"""Fetch an archive into the data folder, from the first source that gives it."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from resnet18.data.display import Display, amount
from resnet18.data.folder import RIGHT, alone, check_room, is_right_file, is_there
from resnet18.data.part import Part, part_path
from resnet18.data.receive import receive
from resnet18.data.sources import OWN_URL, Archive, Source
from resnet18.data.terms import MixedBytesError, SlowSourceError, SourceError, Terms
from resnet18.spec.errors import EnvironmentMissingError


def fetch(wanted: Archive, others: Sequence[Archive], home: Path, terms: Terms, display: Display) -> None:
    """Fetch an archive, unless it or another that will do is there; what is there of it is gone on with.

    Args:
        wanted: the archive.
        others: archives that are as good, where the user brought them.
        home: the folder for it.
        terms: limits, clock and network.
        display: what the user sees.

    Raises:
        EnvironmentMissingError: no source gave it, or the folder cannot be written.
    """
    if is_there((wanted, *others), home, display):
        return
    target = home / wanted.name
    with alone(home, display):
        if is_right_file(target, wanted):  # by the command that was waited for
            display.say(f"{target}: {RIGHT}")
            return
        with Part(part_path(target)) as part:
            check_room(wanted.size_bytes - part.size, home)
            display.say(f"{wanted.name}, {amount(wanted.size_bytes)}, to {home}")
            try:
                complete(wanted, part, terms, display)
            except KeyboardInterrupt:
                display.say(f"{amount(part.size)} of {amount(wanted.size_bytes)} are kept")
                raise
            part.give_name(target)
    display.say(f"done: {wanted.name}, SHA-256 {wanted.sha256}")


def complete(archive: Archive, part: Part, terms: Terms, display: Display) -> None:
    """Fetch what is missing, source by source, until the checksum of the whole is right.

    A source that is slow is left while another is untried. Where none of those gives the archive, the slow ones are
    asked again and endured, the fastest first.

    Raises:
        EnvironmentMissingError: no source gave the archive.
    """
    if _is_right(archive, part):  # a command was stopped just before its end
        return
    if part.size >= archive.size_bytes:
        part.cut(0)
    untried, slow, failures = deque(archive.sources), list[tuple[float, Source]](), list[str]()
    while untried or slow:
        source = untried.popleft() if untried else slow.pop(_fastest(slow))[1]
        try:
            _ask(archive, source, part, terms, display, is_patient=not untried)
        except SlowSourceError as error:
            slow.append((error.bytes_per_s, source))
            display.say(f"{source.name}: {error}: another is asked")
        except MixedBytesError as error:
            untried.appendleft(source)
            display.say(f"{source.name}: {error}: from the beginning")
        except SourceError as error:
            failures.append(f"{source.name}: {error}")
            display.say(failures[-1])
        else:
            return
    raise _nowhere(archive, failures)


def _ask(archive: Archive, source: Source, part: Part, terms: Terms, display: Display, *, is_patient: bool) -> None:
    """Complete the part from a source. Of bytes with another checksum none is kept.

    Raises:
        SourceError: the source is of no use; of its kinds, SlowSourceError and MixedBytesError are worth another try.
    """
    display.say(f"from {source.name}")
    is_all_its_own = receive(archive, source, part, terms, display, is_patient=is_patient)
    if not _is_right(archive, part):
        part.cut(0)
        if is_all_its_own:
            raise SourceError("gives a file with another SHA-256")
        raise MixedBytesError("what was there and what came have another SHA-256")  # whose bytes are the wrong ones?


def _fastest(slow: Sequence[tuple[float, Source]]) -> int:
    return max(range(len(slow)), key=lambda index: slow[index][0])


def _is_right(archive: Archive, part: Part) -> bool:
    return part.size == archive.size_bytes and part.sha256() == archive.sha256


def _nowhere(archive: Archive, failures: Sequence[str]) -> EnvironmentMissingError:
    what = "\n  ".join(["no source gives it:", *failures])
    return EnvironmentMissingError(
        archive.name,
        what,
        next_step="the same command once more, which goes on with what has come\n"
        f"        or a source of your own: {OWN_URL}=https://HOST/PATH resnet18 data fetch\n"
        "        or a file that you have: resnet18 data fetch --from FILE\n"
        f"        ({archive.size_bytes:,} bytes, SHA-256 {archive.sha256})",
    )
