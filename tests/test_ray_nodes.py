"""The Ray engine when nodes come and go: without Ray, and with a clock that only the waits move."""

import pytest
from fakes.ray_module import PENDING, NodeDiedError, node_row
from fakes.sessions import ON_GPU, TOML, delivery_of, make_runs, states
from test_ray_engine import all_free, carry_out, session, well

from resnet18.execution.engines.engine import Resources
from resnet18.execution.engines.ray_engine import LOOK_S, PATIENCE_S
from resnet18.spec.errors import EnvironmentMissingError

__all__ = ["carry_out", "session"]  # fixtures
ONE_CASE = TOML[: TOML.index('[[case]]\nname = "16"')]
ONE_ON_GPU = ONE_CASE + 'execution = { device = "cuda" }\n'


def fits(task, rows):
    """Say whether a living node has what a task asks for."""
    return any(
        row["Alive"]
        and row["Resources"]["CPU"] >= task.options["num_cpus"]
        and row["Resources"].get("GPU", 0) >= task.options["num_gpus"]
        for row in rows
    )


class Cluster:
    """Tasks come back well where a node has what they ask for, after the nodes have changed at given times.

    Args:
        changes: the nodes from so many seconds on.
    """

    def __init__(self, changes):
        self.changes = changes
        self.ray_of = lambda: None

    def __call__(self, task):
        ray = self.ray_of()
        for after_s, rows in self.changes.items():
            if ray.now_s >= 1000 + after_s:
                ray.rows = rows
        return well(task) if fits(task, ray.rows) else PENDING


@pytest.fixture
def on_changing_nodes(carry_out):
    """Carry runs out on the nodes of the given times; returns how they stand."""

    def run(changes, planned_on, **options):
        cluster = Cluster(changes)
        cluster.ray_of = lambda: carry_out.ray
        return carry_out(cluster, *planned_on, **options)

    return run


def test_what_no_node_has_is_refused_before_anything_is_given_out(carry_out, session, tmp_path):
    """With the nodes there are."""
    with pytest.raises(EnvironmentMissingError, match="no node has the 9 CPUs that mine/8 needs"):
        carry_out(well, resources=Resources(cpus=9))

    assert [] == carry_out.ray.sent
    assert all_free(session, make_runs(tmp_path))


def test_a_run_that_waits_for_a_node_that_is_gone_asks_for_another(on_changing_nodes, carry_out):
    """All processors of the largest that is left, and no more; what waited in vain is cancelled."""
    finished = on_changing_nodes(
        {0: [node_row("a", 4)]}, [node_row("a", 4), node_row("b", 16)], text=ONE_CASE, resources=Resources()
    )

    assert ["ok"] == [one.status for one in finished]
    assert [(16, True), (4, False)] == [(task.options["num_cpus"], task.was_cancelled) for task in carry_out.ray.sent]
    assert carry_out.ray.sent[-1].job.is_exclusive


def test_a_node_that_comes_back_in_time_gets_its_run(on_changing_nodes, carry_out):
    """The task waits for it."""
    none = [node_row("a", 4, alive=False)]
    finished = on_changing_nodes(
        {0: none, PATIENCE_S - 2 * LOOK_S: [node_row("a", 4)]}, [node_row("a", 4)], text=ONE_CASE
    )

    assert ["ok"] == [one.status for one in finished]


def test_where_no_node_comes_back_the_command_gives_up_after_a_while(on_changing_nodes, carry_out, session, tmp_path):
    """With exit code 5 and the nodes that are left, none; the locks are free."""
    with pytest.raises(EnvironmentMissingError, match=r"no node has the 1 CPUs .*\(nodes: none\)") as raised:
        on_changing_nodes({0: []}, [node_row("a", 4)])

    assert 5 == raised.value.exit_code
    assert PATIENCE_S < carry_out.ray.now_s - 1000 < PATIENCE_S + 4 * LOOK_S
    assert [] == states(session)
    assert all_free(session, make_runs(tmp_path))


def test_a_run_that_any_node_could_have_does_not_wait_with_one_that_none_has(on_changing_nodes, carry_out, session):
    """The GPU is gone with the largest node: what was to have all of that one goes to the next."""
    text = TOML.replace(
        "experiment = { batch_size = 16 }", 'execution = { device = "cuda" }\nexperiment = { batch_size = 16 }'
    )
    with pytest.raises(EnvironmentMissingError, match="1 GPUs that mine/16 needs"):
        on_changing_nodes(
            {0: [node_row("a", 4)]},
            [node_row("a", 4), node_row("b", 16, 1)],
            text=text.replace(
                "experiment = { batch_size = 8 }", 'execution = { device = "cpu" }\nexperiment = { batch_size = 8 }'
            ),
            resources=Resources(),
        )

    assert [(1, "ok")] == states(session)


def test_auto_does_not_become_a_processor_when_the_gpu_is_lost(on_changing_nodes, carry_out, session):
    """Half of a table on another device would be two tables."""
    with pytest.raises(EnvironmentMissingError, match="1 GPUs that mine/8 needs"):
        on_changing_nodes({0: [node_row("a", 4)]}, [node_row("a", 4), node_row("b", 4, 1)], text=ONE_CASE)

    assert {1.0} == {task.options["num_gpus"] for task in carry_out.ray.sent}
    assert [] == states(session)


def test_a_run_with_a_gpu_gets_the_share_of_processors_that_belongs_to_it(carry_out):
    """Of the largest node."""
    carry_out(well, node_row("a", 16, 4), text=ON_GPU, resources=Resources())

    assert [(4, 1.0, False)] * 2 == [
        (task.options["num_cpus"], task.options["num_gpus"], task.job.is_exclusive) for task in carry_out.ray.sent
    ]


def test_a_lost_node_is_told_by_the_runs_that_were_on_it(carry_out, session):
    """They are given out again without a look at the nodes."""
    lost = []

    def script(task):
        if len(lost) < 2:
            lost.append(task)
            return NodeDiedError("gone")
        return "b", delivery_of(task.job)

    carry_out(script)

    assert 2 == sum("was lost (NodeDiedError)" in line for line in session.progress.lines)
    assert [(1, "ok")] * 2 == states(session)
