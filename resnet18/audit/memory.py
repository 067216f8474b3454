"""Printed memory, and cards that a report names, held against what training needs at least."""

from collections.abc import Iterator, Sequence

from resnet18.audit.finding import Remark
from resnet18.audit.reading import OUT_OF_MEMORY, Reading, number_of
from resnet18.spec.benchmark import PrintedMemory
from resnet18.spec.bytes import CONTEXT_BYTES, least_training_bytes
from resnet18.spec.printed import Printed, card_bytes

MIB = 2**20


def impossible_memory(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find memory below the least that training needs, and cards that a case must, or cannot, have fitted."""
    for reading in readings:
        least = {name: least_training_bytes(experiment) for name, (experiment, _) in reading.specs.items()}
        for memory in reading.benchmark.printed.memory:
            if memory.case in least:
                yield from _of_case(reading, memory, least[memory.case])
        yield from _too_large(reading, least)


def _of_case(reading: Reading, memory: PrintedMemory, least: int) -> Iterator[Remark]:
    where = f'{reading.name}: case "{memory.case}"'
    printed, card = _in_bytes(memory.printed), _card(memory)
    if printed is not None and printed.high < least:
        evidence = f"printed {memory.printed}, {_needs(least)}"
        yield Remark(where, "the printed memory is less than training needs", evidence)
    if memory.printed.strip().lower() in OUT_OF_MEMORY and card is not None and 2 * least + CONTEXT_BYTES <= card:
        evidence = (
            f"{_needs(least)}; twice that and 2 GiB beside are {_mib(2 * least + CONTEXT_BYTES)} of {memory.card}"
        )
        yield Remark(where, f'"{memory.printed}" is surprising: training fits the card more than twice', evidence)


def _too_large(reading: Reading, least: dict[str, int]) -> Iterator[Remark]:
    """Find cases that ran, as their numbers show, although the largest card that is named cannot hold them."""
    cards = [(size, one.card) for one in reading.benchmark.printed.memory if (size := _card(one)) is not None]
    if not cards:
        return
    largest, name = max(cards, key=lambda card: card[0])
    for case, needed in least.items():
        on_card = reading.specs[case][1].device != "cpu"
        if on_card and needed > largest and any(cell.case == case for cell in reading.cells):
            says = f"numbers are printed for this case, which a card of {name} cannot hold"
            yield Remark(f'{reading.name}: case "{case}"', says, _needs(needed))


def _in_bytes(text: str) -> Printed | None:
    """Return exact memory with a unit; nothing else can be held against a bound."""
    printed = number_of(text, "bytes")
    return None if printed is None or printed.is_approximate or not printed.unit else printed


def memory_lacks(memory: PrintedMemory) -> str:
    """Return what printed memory would need to be checked, nothing where it is."""
    if _in_bytes(memory.printed) is not None:
        return ""
    if memory.printed.strip().lower() in OUT_OF_MEMORY:
        return "" if _card(memory) is not None else "no memory of the card"
    return "no exact number with a unit"


def _card(memory: PrintedMemory) -> float | None:
    return card_bytes(memory.card or "")


def _needs(least: int) -> str:
    return (
        f"weights, optimizer state and what autograd saves of one batch (or the gradients, if they are more) "
        f"take at least {_mib(least)}"
    )


def _mib(size: float) -> str:
    return f"{size / MIB:,.0f} MiB"
