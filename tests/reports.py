"""Records for reports, reports without drawings, and a web page taken apart."""

import json
import zlib
from html.parser import HTMLParser
from unittest import mock

from builders import TOML, make_epoch, make_record

from resnet18.records.content import seal
from resnet18.records.record import Score
from resnet18.records.store import Readings
from resnet18.report.markdown import write_markdown
from resnet18.report.report import build_document
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

PAPER = Request(scale="paper", data="cifar10-jpeg")
HOSTILE = "</script><img src=x onerror=alert(1)>"
CLAIM = """
[[claim]]
id = "C9"
says = "16 <b>beats</b> 8"
check = [{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }]
"""
CHECKS = (
    'kind = "greater", metric = "clean_accuracy", case = "16", than = "8"',
    'kind = "greater", metric = "clean_accuracy", case = "16", than = "8", by = 1.0, paired = true',
    'kind = "greater", metric = "clean_accuracy", case = "16", than_value = 10.0',
    'kind = "less", metric = "train_loss_drop", case = "16", than_value = 1.5',
    'kind = "ranking", metric = "clean_accuracy", cases = ["32", "16", "8"]',
    'kind = "equivalent", metric = "final_train_loss", cases = ["8", "16", "32"], margin = 1.0',
    'kind = "equivalent", metric = "epochs_to_plateau", cases = ["8", "16"], margin = 1.0',
    'kind = "equivalent", metric = "epochs_to_plateau", cases = ["8", "16"], margin = 3.0',
    'kind = "equivalent", metric = "final_train_loss", cases = ["8", "16"], margin = 2.0',
    'kind = "close", metric = "best_accuracy", case = "16", reported = "75%", margin = 2.0',
    'kind = "ratio", metric = "train_s", case = "8", to = "16", low = 1.5, high = 3.0',
    'kind = "trend", metric = "clean_accuracy", cases = ["8", "16", "32"], direction = "rising", flattens = true',
    'kind = "trend", metric = "best_accuracy", cases = ["8", "16", "32"], direction = "falling"',
    'kind = "run_status", case = "16", status = "oom_device", device = "cpu"',
    'kind = "run_status", case = "8", status = "oom_host", device = "cpu"',
    'kind = "run_status", case = "8", status = "diverged", device = "cpu", card = "24 GiB"',
    'kind = "run_status", case = "8", status = "ok", device = "cpu"',
    'kind = "greater", metric = "clean_accuracy", case = "64", than = "8"',
    'kind = "greater", metric = "gain_at_first_cut", case = "8", than_value = 0.0',
    'kind = "overfits", case = "8", turns_by = 5',
)
HEIGHTS = {8: 50, 16: 75, 32: 65, 64: 65}
"""Accuracies that neither rise nor fall."""
OWN = (
    TOML
    + "".join(f'[[case]]\nname = "{size}"\nexperiment = {{ batch_size = {size} }}\n' for size in (32, 64))
    + "".join(f'[[claim]]\nid = "X{at}"\nsays = "it is so"\ncheck = [{{ {one} }}]\n' for at, one in enumerate(CHECKS))
)


def score(percent):
    return Score(loss=2.0 - percent / 100, correct=round(100 * percent), images=10_000)


def curve(run, epochs=10, heights=None):
    """Epochs whose accuracy rises towards what the case and the seed say; the rate is cut half way."""
    key = zlib.crc32(run.arm_id.encode())
    top = 55 + key % 30 + (zlib.crc32(run.run_id.encode()) % 100) / 50
    if heights:
        top = heights[run.experiment.batch_size] + run.experiment.seed / 10
    found = []
    for at in range(1, epochs + 1):
        clean = score(top * (1 - 0.5**at) + (key >> at) % 7 / 10)
        found.append(
            make_epoch(
                at,
                learning_rate=0.01 if 2 * at <= epochs else 0.001,
                steps=50_000 // run.experiment.batch_size + at % 2,
                train=score(min(99, top + at)),
                clean=clean,
                as_published=score(top * (1 - 0.5**at)),
                train_s=10 + at % 3 + key % 5 + (zlib.crc32(run.run_id.encode()) % 9) / 10,
            )
        )
    return tuple(found)


def records_of(benchmarks, request, seeds, epochs=10, devices=None, heights=None, **options):
    devices = devices or {"cpu": 1, "cuda": 4}
    runs = plan(benchmarks, request, range(seeds), devices, hypotheses=True).runs
    return [
        make_record(run.experiment, run.execution, request=request, epochs=curve(run, epochs, heights), **options)
        for run in runs
    ]


def record_all(benchmarks, request=PAPER, seeds=(0,), correct=(10, 12, 14), epochs=1, **options):
    """A record for each case and seed; the seed chooses the accuracy."""
    return [
        make_record(
            run.experiment,
            run.execution,
            request=request,
            epochs=tuple(make_epoch(at, correct[run.experiment.seed % len(correct)]) for at in range(1, epochs + 1)),
            **options,
        )
        for run in plan(benchmarks, request, seeds, {"cpu": 1, "cuda": 4}).runs
    ]


def made_of(benchmarks, records, refused=(), picture_of=lambda _: None):
    """The document of a report without its drawings, which take the time."""
    with mock.patch("resnet18.report.sections.svg_of", return_value=b""):
        return build_document(benchmarks, Readings(tuple(records), tuple(refused)), picture_of)


def text_of(benchmarks, records, refused=()):
    return write_markdown(made_of(benchmarks, records, refused), "report.html")


def with_content(record, **content):
    """The record with other content, where nulls of the same keys need no reason any more."""
    nulls = {key: reason for key, reason in record.nulls.items() if key not in content}
    return seal({"nulls": nulls, **json.loads(record.model_dump_json(exclude={"nulls"})), **content})


def noisy_epochs(count, seed):
    """Return epochs whose numbers are as long as real ones."""

    def score(at, images):
        share = 0.9 - 0.7 / (1 + at / 9 + seed / 7)
        return Score(loss=2.302585 / (1 + at / 13 + seed / 17), correct=int(share * images), images=images)

    return tuple(
        make_epoch(at, train=score(at, 49_999), as_published=score(at + 1, 9_999), clean=score(at + 2, 9_998))
        for at in range(1, count + 1)
    )


class Text(HTMLParser):
    """What a page shows, its tags with their attributes, and what stands in its style and scripts."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags, self.raw, self.inside = [], [], {}, None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):  # noqa: D102 - as inherited
        self.tags.append((tag, dict(attrs)))
        if tag in {"style", "script"}:
            self.inside = f"{tag} {dict(attrs).get('type', '')}".strip()

    def handle_endtag(self, tag):  # noqa: D102 - as inherited
        if tag in {"style", "script"}:
            self.inside = None

    def handle_data(self, data):  # noqa: D102 - as inherited
        if self.inside:
            self.raw[self.inside] = self.raw.get(self.inside, "") + data
        else:
            self.text.append(data)

    @property
    def words(self):
        """All text on one line."""
        return " ".join("".join(self.text).split())
