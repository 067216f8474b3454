"""The first lines of a report: how the statements stand, and what to type next."""

import pytest
from test_verdict import MEANS, PAPER, claimed, records_of, verdicts

from resnet18.analysis.summary import summary


@pytest.fixture
def short(tmp_path):
    """Return the summary of a claim of one's own at so many seeds of each case."""

    def of(check, seeds):
        mine = claimed(tmp_path, f"{{ {check} }}")
        return summary("mine", verdicts(mine, PAPER, records_of(mine, PAPER, MEANS, seeds)), PAPER)

    return of


CLOSE = 'kind = "equivalent", metric = "last_clean_accuracy", cases = ["16", "32"], margin = 0.3'
PLAIN = 'kind = "greater", metric = "last_clean_accuracy", case = "16", than = "8"'
NEVER = 'kind = "greater", metric = "last_clean_accuracy", case = "32", than = "16", by = 0.05'
COMMAND = "- `resnet18 run mine.toml --scale paper --seeds {} --data imagefolder:cifar10-jpeg` {}."


@pytest.mark.parametrize(
    ("check", "seeds", "line"),
    [
        (PLAIN, 1, COMMAND.format(3, "allows a first look")),
        (CLOSE, 3, COMMAND.format(5, "is likely to settle the nearest")),
    ],
)
def test_an_open_claim_is_followed_by_the_command_of_its_next_look(check, seeds, line, short):
    """With the options of the request; a file of one's own is named as a file."""
    assert line in short(check, seeds).splitlines()


@pytest.mark.parametrize(("check", "seeds"), [(PLAIN, 5), (NEVER, 3)])
def test_what_is_settled_or_hopeless_is_followed_by_no_command(check, seeds, short):
    """No look is left that would change it."""
    assert "resnet18 run" not in short(check, seeds)
