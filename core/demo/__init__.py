"""The demo: a real inference service with generated cameras, in a folder that is removed at the end."""
