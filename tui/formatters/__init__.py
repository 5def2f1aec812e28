"""Formatters: plain values in, lines of text with roles out. Nothing here imports Textual."""
