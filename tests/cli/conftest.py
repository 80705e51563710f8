"""Fixtures: a small random model on disk, and commands that run in this process."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dgls import cli
from tests.cli.scripted import ScriptedEngine, Write
from tests.engine.checkpoints import raw_checkpoint, speak_ascii


@dataclass(frozen=True, slots=True)
class Completed:
    code: int
    out: str
    err: str


Run = Callable[..., Completed]


Scripted = Callable[[Write], ScriptedEngine]
Pipe = Callable[[bytes], None]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speak_ascii(raw_checkpoint(tmp_path_factory.mktemp("model"), sharpness=60, canvas_length=96))


TAKE_A_MODEL = {"infill", "fill", "rewrite", "eval", "calibrate"}
"""The commands with the option --model."""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command, on the embedded model unless its arguments name another."""

    def run(*arguments: object) -> Completed:
        words = [str(argument) for argument in arguments]
        if TAKE_A_MODEL.intersection(words[:1]) and "--model" not in words:
            words += ["--model", "embedded"]
        try:
            code = cli.run(words)
        except SystemExit as end:
            code = int(str(end.code))
        captured = capsys.readouterr()
        return Completed(code, captured.out, captured.err)

    return run


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Replaces the engine by a scripted one."""

    def use(write: Write) -> ScriptedEngine:
        engine = ScriptedEngine(write)
        monkeypatch.setattr("dgls_engine.Engine", engine)
        return engine

    return use


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """Sets the command's standard input."""
    return lambda content: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
