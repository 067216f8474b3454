"""The configuration of a small Slurm whose every wait is as short as Slurm allows.

What costs time after a node has died (22.05, from its log):

- slurmctld asks a silent node again every few seconds, and sets it DOWN once SlurmdTimeout has passed twice or so: 14 s
  with 5, 7 s with 2.
- A job that is requeued is held until no credential of its first start could still be valid, which is 121 s by default.
  `AuthInfo=cred_expire=1` makes that 2 s. Any user can do the same for one job, with no right but to own it:
  `scontrol update JobId=N StartTime=now`.
"""

import os
import pwd
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
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmctldDebug=verbose
SlurmdDebug=verbose
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
SlurmdParameters=config_overrides
SlurmdTimeout={node_timeout_s}
MessageTimeout=3
TCPTimeout=1
KillWait=2
MinJobAge=2
CompleteWait=0
JobRequeue=1
ReturnToService=2
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def configuration(
    folder: Path, ports: dict[str, int], plugins: Path | None, *, cpus: int, gpus: int, node_timeout_s: int
) -> str:
    """Return the text of slurm.conf.

    Args:
        folder: where everything lies.
        ports: of each node, by name, and of "slurmctld".
        plugins: where the plugins are, unless where they were installed to.
        cpus: of each node; more than the machine has are allowed.
        gpus: of each node; they stand for nothing.
        node_timeout_s: how long a node may be silent.
    """
    ports = dict(ports)
    port = ports.pop("slurmctld")
    user = pwd.getpwuid(os.getuid()).pw_name
    text = TEMPLATE.format(folder=folder, port=port, user=user, node_timeout_s=node_timeout_s)
    if plugins:
        text += f"PluginDir={plugins}\n"
    if gpus:
        text += "GresTypes=gpu\n"
    has = f"CPUs={cpus} RealMemory=1000" + (f" Gres=gpu:{gpus}" if gpus else "")
    return text + "".join(
        f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} {has}\n" for name, port in ports.items()
    )
