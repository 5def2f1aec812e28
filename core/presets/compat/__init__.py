"""What goes with what: CUDA, PyTorch, TensorRT, Python, drivers and GPUs, from tables with their sources."""
