"""The command line, connected to a loopback cluster: driver.py ADDRESS HEAD ARGUMENTS..."""

import sys

import ray

from resnet18.__main__ import main

if __name__ == "__main__":
    address, head, *arguments = sys.argv[1:]
    ray.init(address=address, _node_ip_address=head, logging_level="ERROR", log_to_driver=False)
    sys.argv = ["resnet18", *arguments]
    main()
