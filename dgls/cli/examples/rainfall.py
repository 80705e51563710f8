"""Millimetres of rain, one reading a line."""


def load_readings(path):
    with open(path, encoding="utf-8") as file:
        <HOLE: return [float(line) for line in file]>


def mean(readings):
    total = sum(readings)
    <HOLE: return total / len(readings)>
