"""The models that cameras share: one instance a key, within the memory there is."""
