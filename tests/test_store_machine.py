"""The store against a dictionary, under any order of saving, crashing, starting again and merging."""

import tempfile
from pathlib import Path

import pytest
from builders import make_epoch, make_experiment, make_record, make_store
from fakes.disk import Crash, FaultyOs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resnet18.records import disk
from resnet18.records.store import Store, merge

RUNS = st.integers(0, 3)
ATTEMPTS = st.integers(1, 2)


def record_of(run, attempt):
    """Equal results for equal runs, as reruns give them."""
    return make_record(make_experiment(seed=run), attempt=attempt, epochs=(make_epoch(1, correct=run),))


class StoreMachine(RuleBasedStateMachine):
    """`there` holds what was acknowledged, `maybe` what a crash may have left whole."""

    def __init__(self):
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(disk, "os", FaultyOs(0))
        self.store = make_store(Path(self.home.name) / "results")
        self.merged = Store(Path(self.home.name) / "merged")
        self.there, self.maybe = {}, {}

    def teardown(self):
        self.patched.undo()
        self.home.cleanup()

    @rule(run=RUNS, attempt=ATTEMPTS)
    def save(self, run, attempt):
        """A record that is there is never replaced."""
        key, record = (run, attempt), record_of(run, attempt)
        if key in self.there:
            with pytest.raises(FileExistsError):
                self.store.save(record)
            return
        try:
            self.store.save(record)
        except FileExistsError:
            assert key in self.maybe
        self.there[key] = record

    @rule(run=RUNS, attempt=ATTEMPTS, at=st.integers(1, 20))
    def crash_while_saving(self, run, attempt, at):
        """The process ends at a call, of about nineteen: nothing after it happens, not even cleaning up."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(disk, "os", FaultyOs(at, persistent=True, error=Crash()))
            try:
                self.store.save(record_of(run, attempt))
            except Crash:
                self.maybe[run, attempt] = record_of(run, attempt)
            except FileExistsError:
                assert (run, attempt) in self.there | self.maybe
            else:
                self.there[run, attempt] = record_of(run, attempt)

    @rule()
    def start_again(self):
        """As the next runner does."""
        self.store = Store(self.store.results)
        self.store.make_writable()

    @rule()
    def merge_into_another(self):
        """What is read here is read there, whatever came there before."""
        merge([self.store.results], self.merged.results)

        assert self.store.read() == self.merged.read()

    @invariant()
    def holds_what_was_acknowledged_and_nothing_torn(self):
        """Beside it at most what a crash had finished."""
        readings = self.store.read()
        found = {(record.seed, record.attempt): record for record in readings.records}

        assert () == readings.refused
        assert self.there == {key: found.get(key) for key in self.there}
        assert set(found) <= set(self.there) | set(self.maybe)


TestStoreMachine = StoreMachine.TestCase
# Each example is a long one, of many files.
TestStoreMachine.settings = settings(max_examples=min(15, settings().max_examples))
