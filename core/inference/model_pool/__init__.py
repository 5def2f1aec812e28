"""The model pool: models that cameras share, one instance for each key, within a memory budget."""
