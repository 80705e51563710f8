"""From a cursor to the region the engine fills, and from the infill to a suggestion.

Pure functions over frozen values: no I/O, no event loop, no tensors, no protocol classes. Read in this order:
`plan` (cursor -> Region; `quiet` and `complete`: why not), `suggestion` (infill -> Suggestion), `cache` (Suggestion -> the same, typed on).
"""
