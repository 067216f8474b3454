"""Where runs happen: on this machine, on the nodes of a Ray cluster, or as jobs of Slurm."""
