"""Reports of cases that have unequal seeds, as where another table shows one of them too."""

from itertools import product

import pytest
from builders import make_benchmark
from report_branches import CHECKS, HEIGHTS, JPEG, OWN, made_of, records_of

from resnet18.report.report import HEADER, markdown_of

SEEDS = (0, 1, 2, 3, 5)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A file with a claim of every kind, and five seeds of each of its cases."""
    mine = make_benchmark(tmp_path_factory.mktemp("own"), OWN)
    return mine, records_of([mine], JPEG, max(SEEDS), 8, heights=HEIGHTS)


@pytest.mark.parametrize("seeds", list(product(SEEDS, repeat=3)))
def test_no_number_of_seeds_of_each_case_ends_a_report(seeds, own):
    """A check of every kind has its line, whichever case is the shortest."""
    mine, records = own
    wanted = dict(zip((8, 16, 32), seeds, strict=True))
    some = [one for one in records if one.seed < wanted.get(one.spec.experiment.batch_size, 2)]
    text = markdown_of(made_of((mine,), some), [HEADER])

    assert not any(seeds) or all(f"**X{at} " in text for at in range(len(CHECKS)))
