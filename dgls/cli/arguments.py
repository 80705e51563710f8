"""What can be typed after `dgls`: the parser of all commands, its types, and its one-line refusals."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from dgls.cli.targets import Lines, Place, kept, lines, place, target
from dgls.server.settings import DTYPES
from dgls_engine.model.families import LARGE

_CHANGES_EPILOG = (
    "Exit codes: 0 if all went well, whether or not anything changed; 1 if --check found that something would "
    "change; 2 if what is asked for is not possible; 130 after Ctrl-C. The diff, or with FILE `-` the whole new text, "
    "goes to standard output, all else to standard error. Nothing outside the stubs or lines named here is changed."
)


class Parser(argparse.ArgumentParser):
    """Refuses in one line, without the usage that argparse puts before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser("dgls", description="Fill code in the middle of a file with a text-diffusion model.")
    parser.add_argument("--version", action="version", version=f"dgls {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    _serve(commands.add_parser("serve", help="run the language server"))
    _infill(commands.add_parser("infill", help="fill the code at a place in a file"))
    _fill(commands.add_parser("fill", help="write the bodies of functions that are stubs"))
    _rewrite(commands.add_parser("rewrite", help="write lines of a file anew, or change them a little"))
    _demo(commands.add_parser("demo", help="watch the holes of three example files being filled"))
    _eval(commands.add_parser("eval", help="measure how well a model fills holes"))
    _calibrate(commands.add_parser("calibrate", help="fit a model's confidence to your own code"))
    commands.add_parser("doctor", help="say what works here, and what to do about the rest")
    _models(commands.add_parser("models", help="list models, fetch one, or remove what was packed"))
    return parser


def _serve(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--stdio", action="store_true", help="speak over stdin and stdout (the default)")
    where.add_argument("--tcp", type=_port, metavar="PORT", help="serve one client on this port of 127.0.0.1; 0: any")


def _infill(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", type=target, metavar="FILE:LINE:COL", help="where; both count from 1")
    parser.add_argument("--seed", type=_whole(0), metavar="N", help="the same seed gives the same text; no deadline")
    _engine(parser)
    parser.add_argument("--max-tokens", type=_whole(1), metavar="N", help="how long the fill may be")
    parser.add_argument("--lines", type=_whole(1), metavar="N", help="how many lines the fill may have")
    parser.add_argument("--apply", action="store_true", help="write the fill into the file")


def _engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the answer as one JSON object on the last line")
    parser.add_argument("--steps", type=_whole(1), metavar="N", help="denoising steps at most")
    _model(parser)


def _model(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    parser.add_argument("--model", default="embedded", metavar="M", help="embedded, a folder, or a fetched model")
    numbers = f"what its weights are kept in: {', '.join(DTYPES)} (default auto)"
    parser.add_argument("--dtype", choices=DTYPES, default="auto", metavar="D", help=numbers)


def _fill(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write the body of a function that has none yet (`pass`, `...`, `raise NotImplementedError`, TODO, {}), with "
        "its signature, its docstring and the code after it pinned. FILE alone means its only stub."
    )
    _target_or_piped(parser, "FILE[:LINE[:COL]]", "the stub there; both count from 1", place)
    parser.add_argument("--all", action="store_true", help="all stubs of the file, as many at once as a canvas holds")
    _changes(parser)


def _rewrite(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write lines of a file anew, with the code around them pinned. With --strength they are the draft: its least "
        "certain tokens are found anew, and the rest stays."
    )
    _target_or_piped(parser, "FILE:START-END", "which lines, from 1, both included; or FILE:LINE", lines)
    told = "what is wanted, to models that take any"
    parser.add_argument("--instruction", type=str.strip, metavar="TEXT", default="", help=told)
    parser.add_argument(
        "--strength",
        type=_strength,
        metavar="S",
        help="change only this share of the tokens: above 0, below 1, or lightly, more, heavily",
    )
    parser.add_argument("--keep", type=kept, default=(), metavar="LINES", help="lines that stay, such as 14,17-19")
    _changes(parser)


def _changes(parser: argparse.ArgumentParser) -> None:
    """What commands share that change a file."""
    parser.epilog = _CHANGES_EPILOG
    out = parser.add_mutually_exclusive_group()
    out.add_argument("--diff", action="store_true", help="print a unified diff (the default, unless FILE is `-`)")
    out.add_argument("--apply", action="store_true", help="write the file")
    out.add_argument("--check", action="store_true", help="change and print nothing; exit 1 if something would change")
    parser.add_argument("--language", metavar="ID", help="such as python; else the name tells")
    parser.add_argument("--stdin-filename", metavar="NAME", help="what to call standard input")
    seed = "the same seed gives the same text (default: 0 with --check, else another each time)"
    parser.add_argument("--seed", type=_whole(0), metavar="N", help=seed)
    _engine(parser)


def _target_or_piped(
    parser: argparse.ArgumentParser, metavar: str, help: str, parse: Callable[[str], Place | Lines]
) -> None:
    """The positional argument, also where it starts with the `-` of standard input: argparse takes `-:3` for an option,
    so there is one."""
    parser.usage = f"%(prog)s {metavar} [options]"
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("target", nargs="?", type=parse, metavar=metavar, help=f"{help}; FILE may be - (standard input)")
    where.add_argument("-:", dest="piped", type=lambda text: parse(f"-:{text}"), metavar="", help=argparse.SUPPRESS)


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--svg", metavar="FILE", help="write a picture of this run")


def _eval(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Fill holes whose contents are known as the editor would, and say how many come out right. A run that is cut "
        "off goes on where it ended when the same command is given again. docs/evaluation.md explains the figures."
    )
    cases = parser.add_argument_group("what is filled").add_mutually_exclusive_group(required=True)
    cases.add_argument(
        "--dataset", metavar="FILE", help="a HumanEval-Infilling file (.jsonl, .jsonl.gz); runs its tests"
    )
    cases.add_argument("--source", metavar="DIR", help="holes cut into the source files of a folder")
    cases.add_argument("--fixtures", action="store_true", help="the cases that dgls' own tests use")
    parser.add_argument("--kinds", type=_names, metavar="KIND,...", help="only holes of these kinds")
    parser.add_argument("--limit", type=_whole(1), metavar="N", help="so many holes, drawn by the seed")
    parser.add_argument(
        "--seed", type=_whole(0), default=0, metavar="N", help="of the holes and of the noise (default 0)"
    )
    how = parser.add_argument_group("how it is filled")
    _model(how)
    how.add_argument("--policy", metavar="P", help="how long a hole is: pad, batch, fixed, or oracle (is told)")
    how.add_argument("--steps", type=_whole(1), metavar="N", help="denoising steps at most")
    how.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="NAME=VALUE", help="another value in its profile"
    )
    how.add_argument("--threads", type=_whole(1), metavar="N", help="CPU threads of the model")
    how.add_argument("--jobs", type=_whole(1), default=1, metavar="N", help="programs tested at a time (default 1)")
    out = parser.add_argument_group("what comes out")
    out.add_argument("--results", metavar="FILE", help="keep each outcome here, and go on from what it holds")
    out.add_argument("--json", action="store_true", help="print the figures as one JSON object on the last line")
    out.add_argument("--report", metavar="FILE.html", help="write a page with plots and a sample of the holes")


def _calibrate(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--source", metavar="DIR", help="the code that holes are cut into")
    what.add_argument("--reset", action="store_true", help="remove your own calibration of the model")
    _model(parser)
    parser.add_argument("--holes", type=_whole(100), default=300, metavar="N", help="how many (default: 300)")
    parser.add_argument("--seed", type=_whole(0), default=0, metavar="N", help="the same seed cuts the same holes")
    parser.add_argument(
        "--show",
        type=_share,
        default=0.1,
        metavar="SHARE",
        help="show at least this share, the surest ones, however seldom the model is right (default: 0.1)",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object on the last line")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--dry-run", action="store_true", help="store nothing")
    where.add_argument("--ship", action="store_true", help="store it beside the model's weights, for all who use them")


def _models(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
    pull = actions.add_parser("pull", help="fetch a model into the local cache; asks first")
    pull.add_argument("name", metavar="NAME", help=f"such as {LARGE.name}")
    clean = actions.add_parser("clean", help="remove packed experts whose model is gone")
    clean.add_argument("--all", action="store_true", help="remove all of them; the next load packs its own again")


def _strength(text: str) -> float:
    from dgls.change.task import STRENGTHS

    try:
        value = STRENGTHS.get(text) or float(text)
    except ValueError:
        value = 0.0
    if 0.0 < value < 1.0:
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is no strength; take a number between 0 and 1: 0.15 or lightly, say")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _setting(text: str) -> tuple[str, Any]:
    """A value is JSON, or else the text that it is."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} sets nothing; write NAME=VALUE, such as max_steps=12")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


class _whole:
    """An argument's type: a whole number from `least` to `MOST`."""

    MOST = 10**9

    def __init__(self, least: int) -> None:
        self._least = least

    def __call__(self, text: str) -> int:
        if text.isascii() and text.isdecimal() and len(text) < 20 and self._least <= int(text) <= self.MOST:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {self._least} to {self.MOST}")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0.0 <= value <= 1.0:
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is no share; take a number from 0 to 1")


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 6 and int(text) < 1 << 16:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port; take one from 0 to 65535")


def _version() -> str:
    try:
        return version("dgls")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"
