"""The documentation, compared with the code: each test names every wrong place by file and line."""
