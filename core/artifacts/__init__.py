"""The locked files of a preset: lock, sync and verify."""
