"""What the machine does right now: GPUs through NVML, the host through psutil. Samples, never a wait."""
