"""A web page taken apart, and records for one."""

import json
from html.parser import HTMLParser

from builders import make_epoch, make_record

from resnet18.records.content import seal
from resnet18.records.record import Score
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

PAPER = Request(scale="paper", data="cifar10")
HOSTILE = "</script><img src=x onerror=alert(1)>"


class Text(HTMLParser):
    """What a page shows, its tags with their attributes, and what stands in its style and scripts."""

    SAID = ("alt", "aria-label", "aria-valuetext", "placeholder", "title")
    """Attributes whose values are said or shown."""

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
    def pieces(self):
        """Every text that is shown or said, each by itself."""
        said = [one[key] for _, one in self.tags for key in self.SAID if key in one]
        return [" ".join(piece.split()) for piece in (*self.text, *said) if piece.strip()]

    @property
    def words(self):
        """All text on one line."""
        return " ".join("".join(self.text).split())


def record_all(benchmarks, request=PAPER, seeds=(0, 1, 2), epochs=2, **options):
    return [
        make_record(
            run.experiment,
            run.execution,
            request=request,
            epochs=tuple(make_epoch(at, (7 * at + run.experiment.seed) % 20) for at in range(1, epochs + 1)),
            **options,
        )
        for run in plan(benchmarks, request, seeds, {"cpu": 1, "cuda": 4}).runs
    ]


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
