"""Telemetry of the machine: GPUs through NVML, the host through psutil. Samples, never a wait."""
