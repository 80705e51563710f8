"""Code that the user points at, filled or rewritten: pure planning around the one call `infill(context, segments)`.

No I/O, no asyncio, no LSP, no tensors. `start` is the way in; what it returns is run by the server and by the command
line alike.
"""
