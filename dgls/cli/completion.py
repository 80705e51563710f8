"""`dgls completion`: a script that lets a shell complete dgls' commands, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import shtab

from dgls.cli.arguments import build_parser

_FILES = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}


def run(options: argparse.Namespace) -> int:
    parser = build_parser()
    for action in _actions(parser):
        for word, files in _FILES.items():
            if isinstance(action.metavar, str) and action.metavar.startswith(word):
                action.complete = files  # type: ignore[attr-defined]  # what shtab reads
    print(shtab.complete(parser, options.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)
        else:
            yield action
