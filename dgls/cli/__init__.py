"""The commands: parse the arguments, run the one that is asked for, and turn its errors into one line.

The console script's entry. Importing it costs nothing, and each command is imported when it is called, so `dgls serve`
waits neither for the terminal's libraries nor for torch. argparse for the same reason: others take 60 ms to import.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from dgls.cli.arguments import build_parser
from dgls.errors import DglsError
from dgls_engine.errors import EngineError

if TYPE_CHECKING:
    from argparse import Namespace

REFUSED, INTERRUPTED = 2, 130
"""Exit codes: what was asked for is not possible, and Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command in `arguments` (the process' own by default) and exit with its code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the command in `arguments`; argparse itself exits after `--help` and usage errors."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # code holds what an ASCII or Latin-1 terminal cannot show
            stream.reconfigure(errors="replace")
    options = build_parser().parse_args(arguments)
    try:
        code = _dispatch(options)
        sys.stdout.flush()
        return code
    except (DglsError, EngineError) as error:
        print(f"dgls: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, a pager say, has seen enough
        _drop_output()
        return 1
    except OSError as error:
        if error.filename is not None:  # a file's; standard output has no name
            raise
        _drop_output()
        with suppress(OSError):  # standard error may be on the same full disk
            print(f"dgls: the output cannot be written: {error.strerror or error}", file=sys.stderr)
        return REFUSED


def _drop_output() -> None:
    """What is still to be written goes nowhere: the interpreter would fail over it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(options: Namespace) -> int:
    match options.command:
        case "serve":
            from dgls.server.lsp_server import serve

            return serve(options.tcp)
        case "infill":
            from dgls.cli import infill

            return infill.run(options)
        case "fill":
            from dgls.cli import acting

            return acting.fill(options)
        case "rewrite":
            from dgls.cli import acting

            return acting.rewrite(options)
        case "demo":
            from dgls.cli import demo

            return demo.run(options)
        case "eval":
            from dgls.cli import evaluate

            return evaluate.run(options)
        case "calibrate":
            from dgls.cli import calibrate

            return calibrate.run(options)
        case "doctor":
            from dgls.cli import doctor

            return doctor.run(options)
        case "models":
            from dgls.cli import models

            return models.run(options)
    raise AssertionError(f"a command without a module: {options.command}")
