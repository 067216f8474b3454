"""A Slurm of two nodes on one machine, for tests: no root, no munge, nothing installed, all state in one folder.

    with SlurmCluster(Path("/tmp/slurm")) as cluster:
        cluster.call("sbatch", "--wrap", "hostname")
        cluster.kill_node("n1")   # as if its power had failed: its jobs are requeued

Each node is a slurmd of its own (`-N`) on a port of its own. Who asks is not checked (auth/none): every user of the
machine can run jobs as the user who started the cluster. How long things take is in configuration.py.
"""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from slurm.configuration import configuration, free_ports
from slurm.packages import find_slurm, plugins_of
from slurm.processes import descendants, destroy, holders, jobs

START_LIMIT_S = 60.0
LONGEST_FOLDER = 60
"""A step has a Unix socket in the folder, and the name of a socket has at most 107 characters."""
READY = {"idle", "mix", "alloc"}
NODES = ("n1", "n2")


class SlurmCluster:
    """Open it with `with`. When it closes, no daemon and no job is left."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.conf = folder, folder / "slurm.conf"
        assert len(str(folder)) <= LONGEST_FOLDER, folder
        self._slurm = find_slurm()
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def variables(self) -> dict[str, str]:
        """Return what a program's environment must say, so that it uses this cluster."""
        plugins = plugins_of(self._slurm)
        folders = {
            "PATH": (self._slurm / "usr/bin", self._slurm / "usr/sbin"),
            "LD_LIBRARY_PATH": (plugins, plugins.parent),  # their own, then what they need
        }
        paths = {name: ":".join([*map(str, new), os.environ.get(name, "")]) for name, new in folders.items()}
        return {"SLURM_CONF": str(self.conf), **paths}

    def call(self, *words: str) -> str:
        """Run one of Slurm's programs and return what it printed; a CalledProcessError where it fails."""
        env = os.environ | self.variables
        done = subprocess.run(words, env=env, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def version(self) -> tuple[int, int]:
        """Return Slurm's version, as (22, 5): the year and the month."""
        year, month = self.call("slurmd", "-V").split()[1].split(".")[:2]
        return int(year), int(month)

    def states(self) -> dict[str, str]:
        """Return the state of each node, as `idle` or `down*` (the star: it does not answer)."""
        return dict(line.split() for line in self.call("sinfo", "-h", "-N", "-o", "%N %t").splitlines())

    def __enter__(self) -> Self:
        for name in ("state", *NODES):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._configure()
        try:
            self._begin("slurmctld", ["slurmctld", "-D", "-c"])
            for name in NODES:
                self._begin_node(name)
            for name in NODES:
                self._wait_for(name)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def kill_node(self, name: str) -> None:
        """Kill a node's daemon and all that runs there, at once, so that none tells slurmctld of another's end."""
        destroy(lambda: self._of(name) | jobs(self.conf, name))
        self._daemons.pop(name).wait()

    def close(self) -> None:
        """End all daemons and jobs. What they were about to write is lost."""
        destroy(self.processes)
        while self._daemons:
            self._daemons.popitem()[1].wait()

    def processes(self) -> set[int]:
        """Return every process of the cluster: daemons, steps, jobs."""
        return jobs(self.conf).union(*map(self._of, ("slurmctld", *NODES)))

    def _configure(self) -> None:
        """Write the configuration."""
        self.conf.write_text(configuration(self.folder, free_ports(("slurmctld", *NODES)), plugins_of(self._slurm)))
        if self.version() >= (23, 2):  # whose slurmd takes part in control groups unless it is told not to
            (self.folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")

    def _of(self, name: str) -> set[int]:
        return descendants(holders(self.folder / f"{name}.log"))

    def _begin_node(self, name: str) -> None:
        self._begin(name, ["slurmd", "-D", "-N", name, "-d", str(self._slurm / "usr/sbin/slurmstepd")])

    def _begin(self, name: str, words: list[str]) -> None:
        """Start a daemon that dies with this process, however that ends."""
        with (self.folder / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *words],
                env=os.environ | self.variables,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def _wait_for(self, name: str) -> None:
        """Wait until a node is ready, as long as its daemon and slurmctld live."""

        def ready() -> bool:
            for daemon in ("slurmctld", name):
                if self._daemons[daemon].poll() is not None:
                    text = (self.folder / f"{daemon}.out").read_text()
                    raise RuntimeError(f"{daemon} ended: {text[-2000:]}")
            try:
                return self.states()[name] in READY
            except subprocess.CalledProcessError:  # slurmctld does not answer yet
                return False

        wait_until(ready, f"node {name} is ready; see {self.folder}/*.log", START_LIMIT_S)


def wait_until(condition: Callable[[], object], what: str, limit_s: float = 30.0) -> float:
    """Ask again and again until `condition` holds, and return how many seconds it took.

    Raises:
        TimeoutError: it never did. The text says what was waited for.
    """
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > limit_s:
            raise TimeoutError(f"after {limit_s:.0f} s still not so: {what}")
        time.sleep(0.1)
    return time.monotonic() - start
