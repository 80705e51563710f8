"""Hiking trails in a text file: three holes in one canvas."""


def load_trails(path):
    with open(path, encoding="utf-8") as <HOLE: file>:
        lines = <HOLE: file.readlines()>
    return [line.strip() for line in <HOLE: lines>]
