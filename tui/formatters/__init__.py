"""Formatters: plain values in, lines of role-marked text out. Nothing here knows Textual."""
