"""The first lines of a report: how the statements stand, and what to type next."""

from types import SimpleNamespace

import pytest
from test_verdict import MEANS, PAPER, claimed, records_of, verdicts

from resnet18.report.summary import SOME_MISSING, _without_numbers, summary
from resnet18.report.wording import decisive


@pytest.fixture
def short(tmp_path):
    """Return the summary of a claim of one's own at so many seeds of each case."""

    def of(check, seeds):
        mine = claimed(tmp_path, f"{{ {check} }}")
        return summary("mine", verdicts(mine, PAPER, records_of(mine, PAPER, MEANS, seeds)), PAPER)

    return of


CLOSE = 'kind = "equivalent", metric = "clean_accuracy", cases = ["16", "32"], margin = 0.3'
PLAIN = 'kind = "greater", metric = "clean_accuracy", case = "16", than = "8"'
NEVER = 'kind = "greater", metric = "clean_accuracy", case = "32", than = "16", by = 0.05'
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


AGREES = '{ kind = "greater", metric = "clean_accuracy", case = "32", than = "16" }'
DISAGREES = '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "32" }'
TOO_SHORT = '{ kind = "greater", metric = "late_gain", case = "32", than = "16" }'
LACKS = "clean test accuracy, last quarter of epochs less the one before: needs 8 epochs"
BEYOND = "- Inconclusive, and not to be supported by more runs like these: X1 ({})."
NEAREST = "- Inconclusive, nearest to settled first: X1 ({})."
FAR = "about {} seeds, beyond the last look at 10, would {} it"


@pytest.mark.parametrize(
    ("checks", "line"),
    [
        (AGREES, NEAREST.format(FAR.format(47, "support"))),
        (DISAGREES, NEAREST.format(FAR.format(47, "contradict"))),
        (f"{AGREES}, {TOO_SHORT}", BEYOND.format(LACKS)),
        (f"{DISAGREES}, {TOO_SHORT}", BEYOND.format(f"{LACKS}; {FAR.format(47, 'contradict')}")),
    ],
)
def test_an_open_claim_is_told_with_the_way_in_which_seeds_would_settle_it(checks, line, tmp_path):
    """One part that cannot be judged keeps it from being supported by any number; another may still contradict it."""
    mine = claimed(tmp_path, checks)
    found = verdicts(mine, PAPER, records_of(mine, PAPER, MEANS))

    assert line in summary("mine", found, PAPER).splitlines()
    assert line.partition(" (")[2].removesuffix(").").rpartition("; ")[2][:20] in decisive(found[0])


@pytest.mark.parametrize(("check", "seeds"), [(PLAIN, 5), (NEVER, 3)])
def test_what_is_settled_or_hopeless_is_followed_by_no_command(check, seeds, short):
    """No look is left that would change it."""
    assert "resnet18 run" not in short(check, seeds)


@pytest.mark.parametrize(
    ("reasons", "lines"),
    [
        (['"a" has no records'], ['- Not run: C0 ("a" has no records).']),
        (['"a" has no records', '"a" has no records; "b" has no records'], [f"- Not run: C0, C1 ({SOME_MISSING})."]),
        (
            ['"a" has no records', "no records", '"b" has no records'],
            [f"- Not run: C0, C2 ({SOME_MISSING}).", "- Not run: C1 (no records)."],
        ),
    ],
)
def test_claims_that_lack_cases_share_a_line(reasons, lines):
    """One names its cases; where several do, each stands in the table of verdicts, and elsewhere here."""
    claims = [SimpleNamespace(reason=one, claim=SimpleNamespace(id=f"C{at}")) for at, one in enumerate(reasons)]

    assert lines == _without_numbers(claims, "Not run", briefly=True)
    assert len(set(reasons)) == len(_without_numbers(claims, "Not run"))
