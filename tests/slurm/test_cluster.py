"""The Slurm that other tests use: does it do what they take for granted? `make test-slurm`; not part of `make test`."""

import os
from pathlib import Path

import pytest
from slurm.cluster import SlurmCluster, wait_until
from slurm.packages import NoSlurmError, find_slurm
from slurm.processes import alive, jobs

STAYS_ON_ITS_FIRST_NODE = """\
echo ${SLURM_RESTART_COUNT:-0} $SLURMD_NODENAME $SLURM_JOB_ID >> starts.txt
if [ -z "$SLURM_RESTART_COUNT" ]; then sleep 600; fi
"""


@pytest.fixture
def cluster(tmp_path_factory):
    """Two idle nodes."""
    with SlurmCluster(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture
def roomy(tmp_path_factory):
    """One node of two CPUs."""
    with SlurmCluster(tmp_path_factory.mktemp("slurm"), ["n1"], cpus=2) as started:
        yield started


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def touch(folder, name):
    """Run as a job: leave a file that says in which job."""
    Path(folder, name).write_text(os.environ["SLURM_ARRAY_TASK_ID"])


def test_both_nodes_are_idle(cluster):
    """When the cluster has started, both nodes take jobs."""
    assert {"n1": "idle", "n2": "idle"} == cluster.states()


def test_an_array_runs(cluster):
    """Each task of an array of four runs once."""
    cluster.call("sbatch", "--array=0-3%2", "--wrap", "echo $SLURM_ARRAY_TASK_ID >> ran.txt")
    wait_until(lambda: len(lines(cluster.folder / "ran.txt")) >= 4, "four tasks have run")
    assert ["0", "1", "2", "3"] == sorted(lines(cluster.folder / "ran.txt"))


def test_submitit_finds_the_cluster(cluster, tmp_path, monkeypatch):
    """An array that submitit submits leaves what its function writes."""
    submitit = pytest.importorskip("submitit")
    for name, value in cluster.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # where the job finds `touch`
    executor = submitit.AutoExecutor(cluster.folder / "submitit", cluster="slurm")
    executor.update_parameters(timeout_min=1, slurm_array_parallelism=2)
    executor.map_array(touch, [tmp_path] * 4, "abcd")
    wait_until(lambda: len(list(tmp_path.iterdir())) == 4, "four files are there")
    assert {"a": "0", "b": "1", "c": "2", "d": "3"} == {path.name: path.read_text() for path in tmp_path.iterdir()}


def test_a_job_on_a_killed_node_is_requeued(cluster):
    """A job whose node has died starts again, as the same job, on the other one."""
    cluster.call("sbatch", "--requeue", "--wrap", STAYS_ON_ITS_FIRST_NODE)
    starts = cluster.folder / "starts.txt"
    wait_until(lambda: lines(starts), "the job has started")
    _, first, job = lines(starts)[0].split()
    cluster.kill_node(first)
    wait_until(lambda: len(lines(starts)) > 1, "the job has started again", 120)
    (other,) = {"n1", "n2"} - {first}
    assert f"1 {other} {job}" == lines(starts)[1]


def test_a_cancelled_job_leaves_no_child(cluster):
    """What the script of a job started dies with it, though it does not listen to SIGTERM and the script does."""
    cluster.call("sbatch", "--wrap", "(trap '' TERM; touch ran.txt; sleep 600; sleep 600) ; true")
    wait_until((cluster.folder / "ran.txt").exists, "the job has started")
    assert jobs(cluster.conf)
    cluster.call("scancel", "-u", str(os.getuid()))
    wait_until(lambda: not jobs(cluster.conf), "the job's processes have ended")


def test_a_killed_node_can_come_back(cluster):
    """A node that is started again takes jobs again."""
    cluster.kill_node("n1")
    cluster.start_node("n1")
    cluster.call("sbatch", "-w", "n1", "--wrap", "touch ran.txt")
    wait_until((cluster.folder / "ran.txt").exists, "the job has run")


def submit_two(cluster, name, *options):
    for _ in range(2):
        cluster.call("sbatch", f"--job-name={name}", "--cpus-per-task=1", *options, "--wrap", "sleep 600")


def states(cluster, name):
    return sorted(cluster.call("squeue", "-h", "-o", "%t", "-n", name).splitlines())


def test_small_jobs_share_a_node(roomy):
    """Two jobs of one CPU run at once on a node of two."""
    submit_two(roomy, "shared")
    wait_until(lambda: states(roomy, "shared") == ["R", "R"], "both run")


def test_exclusive_jobs_share_no_node(roomy):
    """Two jobs of one CPU that ask for a node alone run one after the other."""
    submit_two(roomy, "alone", "--exclusive")
    wait_until(lambda: states(roomy, "alone") == ["PD", "R"], "one runs")


def test_gpus_are_counted(tmp_path_factory):
    """A node can have GPUs that stand for nothing: one job of one GPU runs on a node of one, a second waits."""
    with SlurmCluster(tmp_path_factory.mktemp("slurm"), ["n1"], cpus=2, gpus=1) as cluster:
        submit_two(cluster, "gpu", "--gpus-per-node=1")
        wait_until(lambda: states(cluster, "gpu") == ["PD", "R"], "one runs")


def test_more_can_be_set(tmp_path_factory):
    """Lines for slurm.conf can be added: here sbatch refuses at once what no node has."""
    folder = tmp_path_factory.mktemp("slurm")
    with (
        SlurmCluster(folder, ["n1"], settings="EnforcePartLimits=ALL\n") as cluster,
        pytest.raises(RuntimeError, match="More processors requested than permitted"),
    ):
        cluster.call("sbatch", "--cpus-per-task=99", "--wrap", "true")


def test_a_folder_too_deep_for_sockets_is_refused(tmp_path):
    """A folder whose name is too long is refused by name, not by a job that never starts."""
    with pytest.raises(ValueError, match="characters"):
        SlurmCluster(tmp_path / ("x" * 60))


def test_a_machine_without_apt_is_told_what_to_do(tmp_path, monkeypatch):
    """Without Slurm and without apt, the error names the three ways to get one."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("RESNET18_SLURM", str(tmp_path / "none"))
    with pytest.raises(NoSlurmError, match=r"apt-get.*RESNET18_SLURM.*PATH"):
        find_slurm()


def test_nothing_is_left(tmp_path_factory):
    """When a cluster closes in the middle of a job, no process is left."""
    with SlurmCluster(tmp_path_factory.mktemp("slurm")) as cluster:
        cluster.call("sbatch", "--wrap", "touch ran.txt; trap '' TERM; sleep 600 & wait")
        wait_until((cluster.folder / "ran.txt").exists, "the job has started")
        before = cluster.processes()
    assert 6 <= len(before)  # slurmctld and its helper, two slurmd, slurmstepd, the job's shell
    assert set() == cluster.processes()
    assert [] == [pid for pid in before if alive(pid)]
