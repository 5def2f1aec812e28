"""The terminal side of the console: what goes out, what comes in, and how it ends.

`environment.prepare()` must run before Textual is first imported; nothing in this package's root imports Textual.
"""
