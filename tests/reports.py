"""Records for reports, comparisons, reports without drawings, and another place to make them in."""

import contextlib
import locale
import time
from unittest import mock

from builders import make_epoch, make_record

from resnet18.judge.checks import Comparison
from resnet18.records.record import Score
from resnet18.records.store import Readings
from resnet18.report.markdown import write_markdown
from resnet18.report.report import build_document
from resnet18.spec.claim import Difference
from resnet18.spec.metric import MetricFacts
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request
from resnet18.tables.statistics import Estimate, Region

PAPER = Request(scale="paper", data="cifar10-jpeg")
HOSTILE = "</script><img src=x onerror=alert(1)>"
CLAIM = """
[[claim]]
id = "C9"
says = "16 <b>beats</b> 8"
check = [{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }]
"""


QUANTITIES = {"points": "accuracy", "%": "seconds", "nats": "loss", "MiB": "bytes"}
BETWEEN = Difference(kind="greater", metric="clean_accuracy", case="a", than="b")


def estimate(value, se=0.5, n=5):
    return Estimate(value, se, 2 * n - 2, n, n * se**2)


def comparison_of(estimates, check=BETWEEN, **changes):
    """A comparison of "a" with "b" whose estimates are given."""
    quantity = QUANTITIES[changes.pop("unit", "points")]
    facts = MetricFacts(changes.pop("what", "x"), quantity, is_share=getattr(check, "metric", "") == "clean_accuracy")
    values = {"about": ("a", "b"), "region": Region(low=0), **changes}
    return Comparison(check=check, estimates=estimates, facts=facts, **values)


def plain_epochs(count):
    """Epochs whose accuracy the seed chooses: 50, 60 or 70 %."""
    return lambda run: tuple(make_epoch(at, 10 + 2 * (run.experiment.seed % 3)) for at in range(1, count + 1))


def noisy_epochs(run):
    """As many epochs as the run asks for, whose numbers are as long as real ones; case and seed choose them."""
    shift = run.experiment.seed + len(run.experiment.augmentation)

    def score(at, images):
        share = 0.9 - 0.7 / (1 + at / 9 + shift / 7)
        return Score(loss=2.302585 / (1 + at / 13 + shift / 17), correct=int(share * images), images=images)

    return tuple(
        make_epoch(at, train=score(at, 49_999), as_published=score(at + 1, 9_999), clean=score(at + 2, 9_998))
        for at in range(1, run.experiment.epochs + 1)
    )


def record_all(benchmarks, request=PAPER, seeds=(0,), epochs=None, hypotheses=False, **options):
    """A record for each case and seed; `epochs` gives those of a run, without it one plain epoch."""
    epochs = epochs or plain_epochs(1)
    runs = plan(benchmarks, request, seeds, {"cpu": 1, "cuda": 4}, hypotheses=hypotheses).runs
    return [make_record(run.experiment, run.execution, request=request, epochs=epochs(run), **options) for run in runs]


def made_of(benchmarks, records, refused=()):
    """The document of a report without its drawings, which take the time."""
    with mock.patch("resnet18.report.sections.svg_of", return_value=b""):
        return build_document(benchmarks, Readings(tuple(records), tuple(refused)), lambda _: None)


def text_of(benchmarks, records, refused=()):
    """All markdown pages of a report, one after another."""
    return "\n".join(write_markdown(made_of(benchmarks, records, refused), "report.html").values())


@contextlib.contextmanager
def elsewhere(monkeypatch):
    """Another time zone, and the last other locale that this machine has."""
    own = locale.setlocale(locale.LC_ALL)
    with monkeypatch.context() as changes:
        changes.setenv("TZ", "Pacific/Kiritimati")
        time.tzset()
        for name in ("C", "C.UTF-8", "de_DE.UTF-8"):
            with contextlib.suppress(locale.Error):
                locale.setlocale(locale.LC_ALL, name)
        yield
        locale.setlocale(locale.LC_ALL, own)
    time.tzset()
