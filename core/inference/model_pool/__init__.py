"""The model pool: models that cameras share, one instance per key, within the memory there is."""
