"""The terminal driver: output, input, and an orderly end.

`environment.prepare()` must run before Textual is first imported; nothing in this package's root imports Textual.
"""
