"""The console: Textual screens over `core`."""
