"""The lines that several benchmarks fill."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.lines import add_arguments, chosen, interleaved


def options(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser, holes=2)
    return parser.parse_args([str(argument) for argument in arguments])


def write_dataset(file: Path, answers: list[str]) -> Path:
    problems = [
        {
            "task_id": f"problem/{number}",
            "entry_point": "add",
            "prompt": "def add(a, b):\n",
            "suffix": "\n",
            "canonical_solution": answer,
            "test": "def check(add): pass",
        }
        for number, answer in enumerate(answers)
    ]
    file.write_text("".join(json.dumps(problem) + "\n" for problem in problems))
    return file


def test_chosen_of_a_dataset_gives_the_indentation_and_leaves_the_code(tmp_path: Path) -> None:
    (case,) = chosen(options("--dataset", write_dataset(tmp_path / "one.jsonl", ["    return a + b\n"])))
    assert (case.prefix, case.answer, case.suffix) == ("def add(a, b):\n    ", "return a + b", "\n\n")


def test_chosen_of_a_dataset_leaves_out_blank_and_several_lines(tmp_path: Path) -> None:
    answers = ["    c = a\n    return c\n", "    \n", "    return a\n"]
    cases = chosen(options("--dataset", write_dataset(tmp_path / "three.jsonl", answers), "--holes", 3))
    assert [case.answer for case in cases] == ["return a"]


def test_chosen_with_fewer_holes_takes_the_first_ones(tmp_path: Path) -> None:
    file = write_dataset(tmp_path / "many.jsonl", [f"    return {number}\n" for number in range(20)])
    many = chosen(options("--dataset", file, "--holes", 20, "--seed", 3))
    assert chosen(options("--dataset", file, "--holes", 5, "--seed", 3)) == many[:5]
    assert many != chosen(options("--dataset", file, "--holes", 20, "--seed", 4))


def test_chosen_of_a_folder_cuts_single_lines(tmp_path: Path) -> None:
    body = "".join(f"    total_{number} = first + {number}\n" for number in range(20))
    (tmp_path / "code.py").write_text(f"def sums(first):\n{body}    return first\n")
    cases = chosen(options("--source", tmp_path))
    assert len(cases) == 2
    assert {case.kind for case in cases} == {"single-line"}


def test_interleaved_each_name_runs_first_in_turn() -> None:
    assert [interleaved("abc", turn)[0] for turn in range(4)] == ["a", "b", "c", "a"]
    assert sorted(interleaved("abc", 2)) == ["a", "b", "c"]
