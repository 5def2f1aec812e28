"""Telemetry of the machine: GPUs through NVML, the host through psutil. Sampling never blocks for long."""
