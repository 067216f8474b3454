"""How data sets come to this machine, and what is there. Nothing here can change a result: checksums decide."""
