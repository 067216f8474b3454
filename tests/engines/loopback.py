"""A Ray cluster of several "nodes" on this machine, each with a loopback address and a data folder of its own."""

import os

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_task_oom_retries"] = "0"  # noqa: SIM112 - Ray's own spelling

import ray
from ray.cluster_utils import Cluster

STORE_BYTES = 80 << 20
HEAD = "127.0.0.2"  # Ray rewrites 127.0.0.1 to the address of a network card, and waits for ever


class Loopback:
    """The cluster: a head without processors, and three nodes of two, each with a data folder."""

    def __init__(self, folder):
        self.folder = folder
        self.folders = [folder / f"node{number}" for number in range(3)]

    def __enter__(self):
        head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False, "node_ip_address": HEAD}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address = self._cluster.address
        for number in range(3):
            self.add(number)
        ray.init(address=self.address, _node_ip_address=HEAD, logging_level="ERROR", log_to_driver=False)
        return self

    def add(self, number):
        """Start a node; its address tells its number."""
        home = self.folder / f"node{number}"
        return self._cluster.add_node(
            num_cpus=2,
            object_store_memory=STORE_BYTES,
            node_ip_address=f"127.0.0.{number + 3}",
            env_vars={"RESNET18_DATA": str(home)},
        )

    def kill(self, node):
        """End a node as a power loss does."""
        self._cluster.remove_node(node, allow_graceful=False)

    def __exit__(self, *_):
        ray.shutdown()
        self._cluster.shutdown()
