"""The arguments of all commands: the parser, the types of values, and errors in one line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn, get_args

from dgls.cli.targets import Lines, Place, kept, lines, place, target
from dgls.server.settings import DTYPES
from dgls_engine.model.families import LARGE
from dgls_engine.profile import HolePolicy

SHELLS = ("bash", "zsh", "fish", "powershell", "tcsh")

_CHANGES_EPILOG = (
    "Exit codes: 0 for success, whether or not anything changed; 1 if --check found that something would change, or if "
    "--apply would break code that parsed; 2 if the command is not possible; 130 after Ctrl-C. The diff, or with FILE "
    "`-` the whole new text, goes to standard output, everything else to standard error. Only the named stubs or lines "
    "change."
)


class Parser(argparse.ArgumentParser):
    """Reports errors in one line, without argparse's usage message."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser("dgls", description="Fill code in the middle of a file with a text-diffusion model.")
    parser.add_argument("--version", action="version", version=f"dgls {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    _serve(commands.add_parser("serve", help="run the language server"))
    _infill(commands.add_parser("infill", help="fill the code at a place in a file"))
    _fill(commands.add_parser("fill", help="write the bodies of functions that are stubs"))
    _rewrite(commands.add_parser("rewrite", help="rewrite lines of a file, or change them a little"))
    _demo(commands.add_parser("demo", help="show how the model fills a line of each function in five files"))
    _eval(commands.add_parser("eval", help="measure how well a model fills holes"))
    _calibrate(commands.add_parser("calibrate", help="fit a model's confidence to your own code"))
    _model(commands.add_parser("doctor", help="check what works on this machine, and say what to do about the rest"))
    _models(commands.add_parser("models", help="list models, fetch one, or remove packed experts"))
    _completion(commands.add_parser("completion", help="print a script that completes these commands in your shell"))
    return parser


def _serve(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--stdio", action="store_true", help="speak over stdin and stdout (the default)")
    where.add_argument("--tcp", type=_port, metavar="PORT", help="serve one client on this port of 127.0.0.1; 0: any")


def _infill(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", type=target, metavar="FILE:LINE:COL", help="the place to fill; both count from 1")
    parser.add_argument("--seed", type=_whole(0), metavar="N", help="the same seed gives the same text; no deadline")
    _engine(parser)
    parser.add_argument("--max-tokens", type=_whole(1), metavar="N", help="limit of the fill, in tokens")
    parser.add_argument("--lines", type=_whole(1), metavar="N", help="limit of the fill, in lines")
    parser.add_argument("--apply", action="store_true", help="write the fill into the file")
    parser.add_argument("--force", action="store_true", help="take a fill that breaks code which parsed, too")


def _engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the answer as one JSON object, and nothing else")
    parser.add_argument("--steps", type=_whole(1), metavar="N", help="limit of denoising steps")
    _model(parser)


def _model(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    models = "small, embedded, a folder or a fetched model (default auto: small if it was fetched, else embedded)"
    parser.add_argument("--model", default="auto", metavar="M", help=models)
    numbers = f"format of the weights: {', '.join(DTYPES)} (default auto)"
    parser.add_argument("--dtype", choices=DTYPES, default="auto", metavar="D", help=numbers)
    _threads(parser)


def _threads(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--threads", type=_whole(1, 256), metavar="N", help="CPU threads of the model (default: all cores but one)"
    )


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
        "Rewrite lines of a file, with the code around them pinned. With --strength, generate only their least certain "
        "tokens again and keep the rest."
    )
    _target_or_piped(parser, "FILE:START-END", "the lines, counted from 1, including the last; or FILE:LINE", lines)
    instruction = "how to change the lines, for models that take instructions"
    parser.add_argument("--instruction", type=str.strip, metavar="TEXT", default="", help=instruction)
    parser.add_argument(
        "--strength",
        type=_strength,
        metavar="S",
        help="change only this share of the tokens: above 0, below 1, or lightly, more, heavily",
    )
    parser.add_argument("--keep", type=kept, default=(), metavar="LINES", help="lines to keep, such as 14,17-19")
    _changes(parser)


def _changes(parser: argparse.ArgumentParser) -> None:
    """The options of all commands that change a file."""
    parser.epilog = _CHANGES_EPILOG
    out = parser.add_mutually_exclusive_group()
    out.add_argument("--diff", action="store_true", help="print a unified diff (the default, unless FILE is `-`)")
    out.add_argument("--apply", action="store_true", help="write the file")
    out.add_argument("--check", action="store_true", help="change and print nothing; exit 1 if something would change")
    parser.add_argument("--force", action="store_true", help="with --apply: write a file that no longer parses, too")
    parser.add_argument("--language", metavar="ID", help="such as python (default: by the file name)")
    parser.add_argument("--stdin-filename", metavar="NAME", help="a file name for standard input")
    seed = "the same seed gives the same text (default: 0 with --check, else random)"
    parser.add_argument("--seed", type=_whole(0), metavar="N", help=seed)
    _engine(parser)


def _target_or_piped(
    parser: argparse.ArgumentParser, metavar: str, help: str, parse: Callable[[str], Place | Lines]
) -> None:
    """Add the positional argument. argparse takes `-:3`, a line of standard input, for an option, so add that too."""
    parser.usage = f"%(prog)s {metavar} [options]"
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("target", nargs="?", type=parse, metavar=metavar, help=f"{help}; FILE may be - (standard input)")
    where.add_argument("-:", dest="piped", type=lambda text: parse(f"-:{text}"), metavar="", help=argparse.SUPPRESS)


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--svg", metavar="FILE", help="write a picture of this run")
    _threads(parser)


def _eval(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Fill holes whose content is known, on the same path as in the editor, and report how many come out right. The "
        "same command resumes an interrupted run. docs/evaluation.md explains the figures."
    )
    cases = parser.add_argument_group("holes").add_mutually_exclusive_group(required=True)
    cases.add_argument(
        "--dataset", metavar="FILE", help="a HumanEval-Infilling file (.jsonl, .jsonl.gz); runs its tests"
    )
    cases.add_argument("--source", metavar="DIR", help="holes cut into the source files of a folder")
    cases.add_argument("--fixtures", action="store_true", help="the fixtures of dgls' tests")
    parser.add_argument("--kinds", type=_names, metavar="KIND,...", help="only holes of these kinds")
    parser.add_argument("--limit", type=_whole(1), metavar="N", help="number of holes, drawn by the seed")
    parser.add_argument(
        "--seed", type=_whole(0), default=0, metavar="N", help="seed of the holes and of the noise (default 0)"
    )
    how = parser.add_argument_group("model")
    _model(how)
    policies = ", ".join(get_args(HolePolicy))
    how.add_argument("--policy", metavar="P", help=f"length of a hole: {policies}, or oracle (the true length)")
    how.add_argument("--steps", type=_whole(1), metavar="N", help="limit of denoising steps")
    how.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for its profile",
    )
    how.add_argument("--jobs", type=_whole(1), default=1, metavar="N", help="programs tested at a time (default 1)")
    out = parser.add_argument_group("output")
    out.add_argument("--results", metavar="FILE", help="store the outcomes here, and resume from them")
    out.add_argument("--json", action="store_true", help="print the figures as one JSON object, and nothing else")
    out.add_argument("--report", metavar="FILE.html", help="write a page with plots and a sample of the holes")


def _calibrate(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--source", metavar="DIR", help="the code to cut holes into")
    what.add_argument("--from-log", action="store_true", help="learn from the suggestions that you took and refused")
    what.add_argument("--reset", action="store_true", help="remove your own calibration of the model")
    _model(parser)
    parser.add_argument("--holes", type=_whole(100), default=300, metavar="N", help="number of holes (default: 300)")
    parser.add_argument("--seed", type=_whole(0), default=0, metavar="N", help="the same seed cuts the same holes")
    parser.add_argument(
        "--show",
        type=_share,
        default=0.1,
        metavar="SHARE",
        help="show at least this share, the surest, even if the model is seldom right (default: 0.1)",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object, and nothing else")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--dry-run", action="store_true", help="store nothing")
    where.add_argument("--ship", action="store_true", help="store it beside the model's weights, for all who use them")


def _models(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
    pull = actions.add_parser("pull", help="fetch a model into the local cache; asks first")
    pull.add_argument("name", metavar="NAME", help=f"`small`, or a hub name such as {LARGE.name}")
    pull.add_argument("--yes", action="store_true", help="fetch without asking")
    clean = actions.add_parser("clean", help="remove packed experts whose model is gone")
    clean.add_argument("--all", action="store_true", help="remove all of them; the next load packs its experts again")


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print a script for your shell. For example: "
        "dgls completion bash > ~/.local/share/bash-completion/completions/dgls"
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}")


def _strength(text: str) -> float:
    from dgls.change.task import STRENGTHS

    try:
        value = STRENGTHS.get(text) or float(text)
    except ValueError:
        value = 0.0
    if 0.0 < value < 1.0:
        return value
    raise argparse.ArgumentTypeError(
        f"{text!r} is no strength; take a number between 0 and 1, or lightly, more, heavily"
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE, where the value is JSON or plain text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} sets nothing; write NAME=VALUE, such as max_steps=12")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


class _whole:
    """Type of an argument: a whole number from `least` to `most`."""

    def __init__(self, least: int, most: int = 10**9) -> None:
        self._least, self._most = least, most

    def __call__(self, text: str) -> int:
        if text.isascii() and text.isdecimal() and len(text) < 20 and self._least <= int(text) <= self._most:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {self._least} to {self._most}")


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
    except PackageNotFoundError:  # a checkout that is not installed
        return "0"
