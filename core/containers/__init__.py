"""The containers of a Docker engine: list, launch, manage, logs, statistics."""
