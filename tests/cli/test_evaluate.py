"""`dgls eval`: what it reports, resumes and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dgls.cli import evaluate
from dgls.evaluation.running import run as evaluation
from dgls.evaluation.running import sandbox
from dgls.evaluation.running.run_case import run_case
from tests.cli.conftest import Completed, Run

PROBLEMS = [
    {
        "task_id": f"Single/{n}",
        "entry_point": "add",
        "prompt": f"def add(a, b):\n    total = a + b + {n}\n",
        "suffix": "",
        "canonical_solution": "    return total\n",
        "test": f"def check(add):\n    assert add(1, 2) == {n + 3}\n",
    }
    for n in range(6)
]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    path.write_text("\n".join(map(json.dumps, PROBLEMS)) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def untested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs programs in this process: the sandbox has its own tests."""
    monkeypatch.setattr(sandbox, "containment", lambda: sandbox.Containment(True, True, True))
    monkeypatch.setattr(evaluate, "_passes", lambda source, tests: "return total" in source)


def figures_of(outcome: Completed) -> dict[str, object]:
    assert outcome.code == 0, outcome.err
    figures = json.loads(outcome.out)
    assert isinstance(figures, dict)
    return figures


@pytest.mark.usefixtures("untested")
def test_eval_json_prints_figures_on_last_line(run: Run, dataset: Path, model: Path, tmp_path: Path) -> None:
    page, results = tmp_path / "page.html", tmp_path / "results.jsonl"
    arguments = ("eval", "--dataset", dataset, "--model", model, "--steps", 2, "--results", results)
    figures = figures_of(run(*arguments, "--json", "--report", page, "--jobs", 2))
    assert (figures["n"], figures["model"], figures["policy"], figures["device"]) == (6, str(model), "pad", "cpu")
    assert figures["pass_at_1"] == figures["exact_match"]
    assert 1 <= float(str(figures["steps"])) <= 2
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    header, *lines = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    assert (header["policy"], header["seed"], header["max_steps"]) == ("pad", 0, 2)
    assert [line["id"] for line in lines] == [problem["task_id"] for problem in PROBLEMS]


@pytest.mark.usefixtures("untested")
def test_eval_weak_sandbox_says_what_is_not_held(
    run: Run, dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("eval", "--dataset", dataset, "--model", model, "--steps", 1, "--results", tmp_path / "results.jsonl")
    assert "sandbox" not in run(*arguments, "--limit", 1).err
    monkeypatch.setattr(sandbox, "containment", lambda: sandbox.Containment(network=False, processes=True, files=True))
    assert "THE NETWORK CAN BE REACHED" in run(*arguments, "--limit", 1).err


@pytest.mark.usefixtures("untested")
def test_eval_higher_limit_resumes_lower_one(run: Run, dataset: Path, model: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    arguments = ("eval", "--dataset", dataset, "--model", model, "--steps", 1, "--results", results, "--json")
    assert figures_of(run(*arguments, "--limit", 2))["n"] == 2
    before = results.read_text(encoding="utf-8")
    assert figures_of(run(*arguments, "--limit", 4))["n"] == 4
    after = results.read_text(encoding="utf-8")
    assert after.startswith(before)
    assert len(after.splitlines()) == 5
    refused(run(*arguments, "--seed", 1), "holds results of another run (it differs in seed)")


@pytest.mark.usefixtures("untested")
def test_eval_same_command_gives_same_outcomes(run: Run, dataset: Path, model: Path, tmp_path: Path) -> None:
    kept = []
    for name in ("one", "other"):
        run("eval", "--dataset", dataset, "--model", model, "--results", tmp_path / name, "--limit", 3)
        lines = [json.loads(line) for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()[1:]]
        kept.append([{**line, "ms": 0} for line in lines])
    assert len(kept[0]) == 3
    assert kept[0] == kept[1]


@pytest.mark.usefixtures("untested")
def test_eval_oracle_and_set_reach_profile(run: Run, dataset: Path, model: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    settings = ("--policy", "oracle", "--set", "max_steps=3", "--set", "t_max=0.9", "--limit", 2)
    figures = figures_of(run("eval", "--dataset", dataset, "--model", model, "--results", results, "--json", *settings))
    assert figures["policy"] == "oracle"
    header = json.loads(results.read_text(encoding="utf-8").splitlines()[0])
    assert header["profile"]["max_steps"] == 3
    assert header["profile"]["t_max"] == 0.9
    assert header["profile"]["hole_policy"] == "fixed"


@pytest.mark.usefixtures("untested")
def test_eval_ctrl_c_reports_outcomes_so_far(
    run: Run, dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 4:
            raise KeyboardInterrupt
        return run_case(*arguments)

    results = tmp_path / "results.jsonl"
    arguments = ("eval", "--dataset", dataset, "--model", model, "--steps", 1, "--results", results, "--json")
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "run_case", interrupted)
        outcome = run(*arguments)
    figures = json.loads(outcome.out)
    assert outcome.code == 130
    assert figures["complete"] is False
    assert figures["n"] == len(results.read_text(encoding="utf-8").splitlines()) - 1 <= 3
    assert "of 6 holes; the same command goes on from there" in outcome.err or figures["n"] == 0
    assert figures_of(run(*arguments))["n"] == 6


def test_eval_dataset_runs_programs(run: Run, dataset: Path, model: Path, tmp_path: Path) -> None:
    figures = figures_of(
        run("eval", "--dataset", dataset, "--model", model, "--results", tmp_path / "r", "--limit", 2, "--json")
    )
    assert figures["pass_at_1"] == 0.0


def test_eval_source_cuts_holes(run: Run, model: Path, tmp_path: Path) -> None:
    lines = [f"def f{n}(value, other):\n    total = value + other * {n}\n    return total - {n}\n" for n in range(20)]
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "code.py").write_text("\n\n".join(lines), encoding="utf-8")
    arguments = ("--kinds", "single-line,mid-word", "--limit", 4, "--results", tmp_path / "r", "--json")
    figures = figures_of(run("eval", "--source", tmp_path / "package", "--model", model, *arguments))
    assert figures["n"] == 4
    assert figures["pass_at_1"] is None
    assert set(figures["by_kind"]) == {"single-line", "mid-word"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "one of the arguments --dataset --source --fixtures is required"),
        (["--dataset", "nowhere.jsonl"], "no such file"),
        (["--dataset", "D", "--source", "."], "not allowed with"),
        (["--dataset", "D", "--kinds", "two-line"], "no holes of kind two-line; choose from single-line"),
        (["--dataset", "D", "--kinds", "mid-word"], "no hole of kind mid-word"),
        (["--dataset", "D", "--policy", "luck"], "there is no policy 'luck'; take one of pad, batch"),
        (["--dataset", "D", "--set", "speed=9"], "has no 'speed'; --set takes prompt_format"),
        (["--dataset", "D", "--set", "max_steps"], "write NAME=VALUE"),
        (["--dataset", "D", "--set", "max_steps=0"], "max_steps must be a whole number from 1"),
        (["--dataset", "D", "--set", "max_steps=lots"], "overrides are not valid"),
        (["--dataset", "D", "--limit", "0"], "whole number from 1"),
        (["--dataset", "D", "--model", "no-such-model"], "no model 'no-such-model'"),
        (["--dataset", "D", "--report", "no/such/page.html"], "no folder; choose where the page goes"),
        (["--dataset", "D", "--report", "."], "name the page's file"),
        (["--dataset", "D", "--results", "."], "cannot be used for results"),
        (["--dataset", "D", "--results", "D"], "is no results file"),
    ],
)
@pytest.mark.usefixtures("untested")
def test_eval_invalid_arguments_exit_2(run: Run, dataset: Path, model: Path, options: list[str], expected: str) -> None:
    spelled = [str(dataset) if option == "D" else option for option in options]
    refused(run("eval", "--model", model, *spelled), expected)


def refused(outcome: Completed, expected: str) -> None:
    assert outcome.code == 2
    assert outcome.out == ""
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1, outcome.err
