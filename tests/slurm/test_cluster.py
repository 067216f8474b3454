"""The Slurm that other tests use: does it do what they take for granted? `make test-slurm`; not part of `make test`."""

import os

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


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


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
