"""A Ray cluster of several "nodes" on this machine, each with a loopback address and a data folder of its own."""

import os
from contextlib import contextmanager

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_task_oom_retries"] = "0"  # noqa: SIM112 - Ray's own spelling

import ray
from ray.cluster_utils import Cluster

STORE_BYTES = 80 << 20
HEAD = "127.0.0.2"  # Ray rewrites 127.0.0.1 to the address of a network card, and waits for ever


class Loopback:
    """The cluster: a head without processors, and one node for each data folder."""

    def __init__(self, folder, nodes, cpus):
        self.folder = folder
        head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False, "node_ip_address": HEAD}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.folders = [folder / f"node{number}" for number in range(nodes)]
        self.nodes = [self.add(number, cpus=cpus) for number in range(nodes)]
        ray.init(address=self.cluster.address, _node_ip_address=HEAD, logging_level="ERROR", log_to_driver=False)

    def add(self, number, *, cpus=1, data=None):
        """Start a node; its address tells its number."""
        home = data or self.folder / f"node{number}"
        return self.cluster.add_node(
            num_cpus=cpus,
            object_store_memory=STORE_BYTES,
            node_ip_address=f"127.0.0.{number + 3}",
            env_vars={"RESNET18_DATA": str(home)},
        )

    def kill(self, node):
        """End a node as a power loss does."""
        self.cluster.remove_node(node, allow_graceful=False)

    def close(self):
        """End all of it."""
        ray.shutdown()
        self.cluster.shutdown()


@contextmanager
def loopback(folder, nodes=3, cpus=1):
    """Start a cluster of so many nodes, and end it."""
    cluster = Loopback(folder, nodes, cpus)
    try:
        yield cluster
    finally:
        cluster.close()
