"""Selects workspace code to show a model, and excludes secrets. No other package decides on exclusion.

Reads files, so all of it runs on the session's reading thread, never on the asyncio loop. Knows neither LSP's
messages nor tokens.
"""
