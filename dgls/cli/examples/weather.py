"""Readings of a weather station: two holes in one canvas."""


def average(readings):
    if not readings:
        return <HOLE: None>
    total = 0
    for reading in <HOLE: readings>:
        total += reading
    return total / len(readings)
