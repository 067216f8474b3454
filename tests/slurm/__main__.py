"""`python tests/slurm FOLDER`: a cluster to try things on by hand, until Ctrl-C."""

import argparse
import shlex
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from slurm.cluster import SlurmCluster
from slurm.packages import NoSlurmError


def main() -> int:
    """Start a cluster, say how to use it, and wait."""
    parser = argparse.ArgumentParser(prog="python tests/slurm", description=__doc__)
    parser.add_argument("folder", type=Path, help="where its configuration, state and logs lie")
    parser.add_argument("--cpus", type=int, default=1, help="of each node (they need not exist)")
    parser.add_argument("--gpus", type=int, default=0, help="the same")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with SlurmCluster(given.folder, cpus=given.cpus, gpus=given.gpus) as cluster:
            for name, value in cluster.variables.items():
                sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
            sys.stdout.write("# two nodes are idle; Ctrl-C ends them and all their jobs\n")
            sys.stdout.flush()
            signal.pause()
    except (NoSlurmError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
