"""The commands: parse the arguments, run one command, and report its errors in one line.

The console script's entry. Each command is imported when it runs, so that `dgls serve` waits neither for the terminal's
libraries nor for torch. Uses argparse for the same reason: other parsers take 60 ms to import.
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
"""Exit codes: the command is not possible; Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command in `arguments` (default: those of the process) and exit with its code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments` and return its exit code. argparse exits after `--help` and usage errors."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an ASCII or Latin-1 terminal cannot show all code
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
    except BrokenPipeError:  # the reader, such as a pager, has quit
        _drop_output()
        return 1
    except OSError as error:
        if error.filename is not None:  # the error is about a file; standard output has no name
            raise
        _drop_output()
        with suppress(OSError):  # standard error may be on the same full disk
            print(f"dgls: the output cannot be written: {error.strerror or error}", file=sys.stderr)
        return REFUSED


def _drop_output() -> None:
    """Send buffered output to the null device; otherwise the interpreter fails when it flushes it at exit."""
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
        case "completion":
            from dgls.cli import completion

            return completion.run(options)
    raise AssertionError(f"a command without a module: {options.command}")
