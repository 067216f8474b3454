"""A Slurm of two nodes on one machine, for tests: no root, no munge, nothing installed, all state in one folder.

Each node is a slurmd of its own (`-N`) on a port of its own. Who asks is not checked (auth/none): every user of the
machine can run jobs as the user who started the cluster. Every wait is as short as Slurm allows. After a node has died,
it is set DOWN 5 to 11 s later, of which MessageTimeout is the most, and a job of it starts again once the credential of
its first start has expired (cred_expire; less than 5 is refused, and then 120 s hold).

Processes are tracked by group, the nearest thing without root to the control groups of real clusters: when a job is
cancelled, what its script started dies too, though the script was first.

Its programs are those of Debian's or Ubuntu's packages, unpacked once into the user's cache: 13 MB, of which apt
downloads 4.
"""

import os
import pwd
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import psutil

FOLDER = Path("~/.cache/resnet18/slurm").expanduser()
NEEDED = ("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins")
NODES = ("n1", "n2")
DAEMONS = ("slurmctld", "slurmd", "slurmstepd")
TEMPLATE = """\
ClusterName=tests
SlurmctldHost=localhost
SlurmctldAddr=127.0.0.1
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
PlugStackConfig=/dev/null
PluginDir={plugins}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/pgid
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
SlurmdParameters=config_overrides
SlurmdTimeout=2
MessageTimeout=3
TCPTimeout=1
KillWait=2
MinJobAge=2
ReturnToService=2
PartitionName=main Nodes=ALL Default=YES
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={n1} CPUs=1 RealMemory=1000
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={n2} CPUs=1 RealMemory=1000
"""


class SlurmCluster:
    """Open it with `with`. When it closes, no daemon and no job is left."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.conf = folder, folder / "slurm.conf"
        assert len(str(folder)) <= 60, "a step has a Unix socket in the folder, whose name may have 107 characters"
        slurm = find_slurm()
        plugins = next(slurm.glob("usr/lib/*/slurm*/auth_none.so")).parent  # another than the compiled-in one
        paths = {"PATH": (slurm / "usr/bin", slurm / "usr/sbin"), "LD_LIBRARY_PATH": (plugins, plugins.parent)}
        self.variables = {"SLURM_CONF": str(self.conf)}
        """What a program's environment must say, so that it uses this cluster."""
        for name, new in paths.items():
            self.variables[name] = ":".join([*map(str, new), os.environ.get(name, "")])
        self._stepd, self._plugins = slurm / "usr/sbin/slurmstepd", plugins
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def call(self, *words: str) -> str:
        """Run one of Slurm's programs and return what it printed; a CalledProcessError where it fails."""
        env = os.environ | self.variables
        done = subprocess.run(words, env=env, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def __enter__(self) -> Self:
        for name in ("state", *NODES):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        names, user = ("port", *NODES), pwd.getpwuid(os.getuid()).pw_name
        with ExitStack() as opened:
            sockets = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
            ports = {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
        self.conf.write_text(TEMPLATE.format(folder=self.folder, user=user, plugins=self._plugins, **ports))
        if self.call("slurmd", "-V").split()[1] >= "23.02":  # takes part in control groups unless it is told not to
            (self.folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        with ExitStack() as failing:
            failing.push(self)
            self._begin("slurmctld", "slurmctld", "-D", "-c")
            for name in NODES:
                self._begin(name, "slurmd", "-D", "-N", name, "-d", str(self._stepd))
            wait_until(self._is_ready, f"both nodes are ready; see {self.folder}/*.log and *.out", 60.0)
            failing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End all daemons and jobs. What they were about to write is lost."""
        destroy(lambda: [*self.jobs(), *(process for name in ("slurmctld", *NODES) for process in self._of(name))])
        while self._daemons:
            self._daemons.popitem()[1].wait()

    def jobs(self, *nodes: str) -> list[psutil.Process]:
        """Return the processes that run in jobs of this cluster, on these nodes or on any."""
        found = list[psutil.Process]()
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # gone, or another user's
                said = process.environ()
                if said.get("SLURM_CONF") == str(self.conf) and said.get("SLURMD_NODENAME") in (nodes or NODES):
                    found.append(process)
        return found

    def kill_node(self, name: str) -> None:
        """Kill a node's daemon and all that runs there, at once, so that none tells slurmctld of another's end."""
        destroy(lambda: [*self._of(name), *self.jobs(name)])
        self._daemons.pop(name).wait()

    def _of(self, name: str) -> list[psutil.Process]:
        """Return what holds the log of a daemon open, which slurmd and its slurmstepds do, and what these started."""
        log, found = str(self.folder / f"{name}.log"), list[psutil.Process]()
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # gone, or another user's
                if any(file.path == log for file in process.open_files()):
                    found += [process, *process.children(recursive=True)]
        return found

    def _begin(self, name: str, *words: str) -> None:
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

    def _is_ready(self) -> bool:
        with suppress(subprocess.CalledProcessError):  # slurmctld does not answer yet
            return set(self.call("sinfo", "-h", "-N", "-o", "%t").split()) <= {"idle", "mix", "alloc"}
        return False


def destroy(find: Callable[[], list[psutil.Process]]) -> None:
    """Stop what is found, so that nobody can report another's death, then kill it, until nothing is found."""

    def nothing_lives() -> bool:
        found = find()
        for end in (psutil.Process.suspend, psutil.Process.kill):
            for process in found:
                with suppress(psutil.Error):  # gone meanwhile
                    end(process)
        return not found

    wait_until(nothing_lives, "all processes are dead", 10.0)


def wait_until(condition: Callable[[], object], what: str, limit_s: float = 30.0) -> None:
    """Ask again and again until the condition holds, or raise a TimeoutError that says what was waited for."""
    end_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError(f"after {limit_s:.0f} s still not so: {what}")
        time.sleep(0.05)


def find_slurm() -> Path:
    """Return the folder that the packages are unpacked into, which is there whole or not at all."""
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    if not FOLDER.exists():
        with tempfile.TemporaryDirectory(dir=FOLDER.parent) as place:
            root = Path(place) / "root"
            simulated = _call(["apt-get", "--simulate", "--no-install-recommends", "install", *NEEDED], "/")
            libraries = re.findall(r"^Inst (lib\S+) \(", simulated, re.MULTILINE)  # that this machine lacks
            _call(["apt-get", "download", "--quiet", *NEEDED, *libraries], place)
            for package in sorted(Path(place).glob("*.deb")):
                _call(["dpkg", "-x", package.name, str(root)], place)
            for name in DAEMONS:  # the packages leave the plain names to update-alternatives
                if not (root / "usr/sbin" / name).exists():
                    (root / "usr/sbin" / name).symlink_to(f"{name}-wlm")
            root.rename(FOLDER)
    return FOLDER


def _call(words: list[str], folder: str) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}; without lists of packages: apt-get update")
    return done.stdout
