"""From a cursor to the region the engine fills, and from the infill to a suggestion.

Pure functions over frozen values: no I/O, no event loop, no tensors, no protocol classes. Read in this order:
`plan` (cursor to Region) with `quiet` (cursor to a reason against it), `exchange` (Region to request, infill to
Suggestion) with `suggestion` and `surplus` (what is cut off), `cache` and `draft` (what the next keystroke reuses).
"""
