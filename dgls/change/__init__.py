"""The actions: fill or rewrite the code that the user points at. Pure planning around `infill(context, segments)`.

No I/O, no asyncio, no LSP, no tensors. `offer.start` turns a task into a job, which the server and the command line run
alike.
"""
