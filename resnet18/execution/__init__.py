"""Where runs happen: the runner (parent), the worker (child process) and the engine that starts it."""
