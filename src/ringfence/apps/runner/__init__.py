"""The runner: the one loop that carries a run out. Started by the command line, one per run."""
