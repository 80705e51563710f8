"""What else of the workspace a model is shown, and what of it never: secrets stay out, here and nowhere else.

Reads files: everything in here runs on the session's reading thread, never on the asyncio loop. Knows neither LSP's
messages nor tokens.
"""
