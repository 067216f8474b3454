"""Receive what is missing of an archive from one source."""

from contextlib import closing

from resnet18.data.display import Display, amount
from resnet18.data.pace import Pace
from resnet18.data.part import Part
from resnet18.data.sources import Archive, Source
from resnet18.data.terms import Body, SlowSourceError, SourceError, Terms
from resnet18.spec.printed import duration


def receive(archive: Archive, source: Source, part: Part, terms: Terms, display: Display, *, is_patient: bool) -> bool:
    """Complete the part, and return whether all of its bytes are of this source.

    Args:
        archive: of which it is a part.
        source: that is asked.
        part: what there is already; what comes is added to it.
        terms: limits, clock and network.
        display: what the user sees.
        is_patient: whether a low speed is endured.

    Raises:
        SourceError: the source is of no use, or of none any more; what has come is kept.
        OSError: the part cannot be written.
    """
    with closing(terms.connect(source.url, part.size, archive.size_bytes, terms.limits)) as body:
        if body.start < part.size:
            display.say(f"{source.name}: cannot go on from {amount(part.size)}, begins anew")
            part.cut(body.start)
        elif part.size:
            display.say(f"{source.name}: goes on from {amount(part.size)}")
        began_at = part.size
        pace = Pace(terms.clock, terms.limits.low_for_s)
        while part.size < archive.size_bytes:
            piece = _piece(archive, body, part.size, terms.limits.piece_bytes)
            part.add(piece)
            pace.add(len(piece))
            display.progress(source.name, part.size, archive.size_bytes, pace.bytes_per_s)
            _check_pace(pace, terms, is_patient=is_patient)
    return began_at == 0


def _piece(archive: Archive, body: Body, done: int, most: int) -> bytes:
    """Return the next bytes.

    Raises:
        SourceError: there are none, or they are the first and of no archive.
    """
    piece = body.read(min(most, archive.size_bytes - done))
    if not piece:
        raise SourceError(f"ended after {done:,} of {archive.size_bytes:,} bytes")
    if done == 0 and piece[: len(archive.magic)] != archive.magic[: len(piece)]:
        raise SourceError("sends something else than an archive")
    return piece


def _check_pace(pace: Pace, terms: Terms, *, is_patient: bool) -> None:
    limits = terms.limits
    if not is_patient and pace.is_below(limits.low_bytes_per_s):
        text = f"slower than {amount(limits.low_bytes_per_s)}/s for {duration(limits.low_for_s)}"
        raise SlowSourceError(text, pace.bytes_per_s)
    if pace.elapsed_s > limits.attempt_s:
        raise SourceError(f"was not done in {duration(limits.attempt_s)}")
