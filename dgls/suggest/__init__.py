"""From a cursor to the region the engine fills, and from the infill to a suggestion.

Pure functions over frozen values: no I/O, no event loop, no tensors, no protocol classes. Read in this order:
`plan` (cursor -> Region) with `quiet` (or why not), `exchange` (Region -> request, infill -> what is shown) with
`suggestion` (infill -> Suggestion), `cache` (Suggestion -> the same, typed on).
"""
