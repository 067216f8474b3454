"""What a regression check may overlook, and how often it may be wrong."""

from typing import Annotated

from pydantic import Field

from resnet18.spec.strict import Model

Percent = Annotated[float, Field(ge=0, le=1_000)]


class Gate(Model):
    """The thresholds of one benchmark."""

    false_alarm_rate: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Chance that a check of two equal codes finds anything, over all its metrics."""
    seeds: Annotated[int, Field(ge=2, le=1_000)] = 8
    """Of the side that is judged; a baseline has twice as many."""
    slower_percent: Percent = 2.0
    """A time may grow by so much before it is looked at."""
    larger_percent: Percent = 1.0
    """So may a peak of memory."""
