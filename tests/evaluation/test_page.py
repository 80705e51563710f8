"""docs/evaluation.md says what the code does: commands, figures, kinds of length."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from dgls.cli.arguments import build_parser
from dgls.evaluation.report.metrics import bucket_name
from dgls.evaluation.report.report import as_json
from tests.evaluation.made_up import outcome
from tests.evaluation.test_report import report

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def test_page_commands_parse() -> None:
    commands = [line for code in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in code.splitlines()]
    assert len(commands) >= 5
    for command in commands:
        program, *arguments = shlex.split(command, comments=True)
        assert program == "dgls"
        assert build_parser().parse_args(arguments).command == "eval"


def test_page_explains_each_figure() -> None:
    explained = {
        name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert explained == set(as_json(report(outcome()))["by_kind"]["single-line"])


def test_page_lengths_equal_the_code() -> None:
    names = list(dict.fromkeys(bucket_name(tokens) for tokens in range(1, 100)))
    assert ", ".join(names) in " ".join(PAGE.split())
