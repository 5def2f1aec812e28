"""Presets: the model, its validation, compatibility checks, and the folder of presets."""
