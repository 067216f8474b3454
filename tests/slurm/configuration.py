"""The configuration of a small Slurm whose every wait is as short as Slurm allows.

After a node has died, a job of it waits for two things (seconds, measured with Slurm 22.05):

- The node is set DOWN: 26 with SlurmdTimeout=5 and Slurm's MessageTimeout (10), 7 to 11 with 2 and 3, 5 with 1 and 2.
  Almost all of that is MessageTimeout, which slurmctld waits for each answer; shorter ones make busy nodes look dead.
- Its first start's credential expires: 121, as a credential lives 120 by default. `AuthInfo=cred_expire=5` makes it 6;
  less than 5 is refused, and then the default holds. For one job, `scontrol update JobId=N StartTime=now` does it too.

Processes are tracked by group, the nearest thing without root to the control groups of real clusters: when a job is
cancelled, what its script started dies too, though the script was first. (By parent, linuxproc, it would escape.) Where
process 1 is slow to reap, as in some containers, a job that used srun ends 3 s late: srun leaves a zombie in the group.
"""

import os
import pwd
import socket
from collections.abc import Sequence
from pathlib import Path

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
SlurmctldDebug=verbose
SlurmdDebug=verbose
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
SlurmdParameters=config_overrides
SlurmdTimeout=2
MessageTimeout=3
TCPTimeout=1
KillWait=2
MinJobAge=2
CompleteWait=0
JobRequeue=1
ReturnToService=2
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def configuration(folder: Path, ports: dict[str, int], plugins: Path) -> str:
    """Return the text of slurm.conf, given the ports of "slurmctld" and of each node, and the folder of the plugins."""
    nodes = dict(ports)
    user, port = pwd.getpwuid(os.getuid()).pw_name, nodes.pop("slurmctld")
    return TEMPLATE.format(folder=folder, port=port, user=user, plugins=plugins) + "".join(
        f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=1000\n"
        for name, port in nodes.items()
    )


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """Return a port that nobody uses for each name."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return dict(zip(names, ports, strict=True))
