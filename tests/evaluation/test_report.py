"""The table, the JSON object and the page of one run; the page loads nothing and escapes code."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from dgls.evaluation.cases.case import CaseOutcome
from dgls.evaluation.report.charts import histogram
from dgls.evaluation.report.page import SAMPLE, page_of
from dgls.evaluation.report.report import Report, as_json
from dgls.evaluation.report.table import table_of
from tests.evaluation.made_up import HEADER, case, outcome

REQUIRED = {"pass_at_1", "exact_match", "edit_similarity", "parses", "repeats_after", "shown", "steps", "p50_ms"}
REQUIRED |= {"p90_ms", "n", "model", "device", "policy"}


def report(*outcomes: CaseOutcome, wanted: int = 0) -> Report:
    cases = {each.id: case(each.id) for each in outcomes}
    cases |= {str(n): case(str(n)) for n in range(len(cases), wanted)}
    return Report(HEADER, "a CPU", "some holes", cases, outcomes, "results.jsonl")


MANY = [
    outcome(
        f"case {n}",
        tokens=n % 50,
        kind="mid-word" if n % 3 else "single-line",
        confidence=n % 17 / 17,
        exact=n % 4 == 0,
        passed=n % 5 == 0,
        rejected="empty" if n % 7 == 0 else None,
        steps=n % 20 + 1,
        ms=float(n * n),
    )
    for n in range(200)
]


def test_as_json_contains_documented_keys() -> None:
    figures = as_json(report(*MANY))
    assert set(figures) > REQUIRED
    assert json.loads(json.dumps(figures)) == figures
    assert (figures["n"], figures["exact_match"], figures["pass_at_1"], figures["complete"]) == (200, 0.25, 0.2, True)
    assert list(figures["by_length"]) == ["1-4", "5-8", "9-16", "17-32", "33+"]
    assert set(figures["by_kind"]) == {"mid-word", "single-line"}


def test_as_json_inapplicable_figure_is_null() -> None:
    figures = as_json(report(outcome(rejected="empty", text="", shown=False, parses=None)))
    nulls = {name for name, value in figures.items() if value is None}
    assert nulls == {"pass_at_1", "parses", "repeats_after", "shown_exact", "calibration_error"}


def test_as_json_no_outcomes_is_valid() -> None:
    figures = as_json(report(wanted=3))
    assert (figures["n"], figures["exact_match"], figures["complete"]) == (0, None, False)


@pytest.mark.parametrize("width", [80, 200])
def test_table_of_report_fits_80_columns(width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table_of(report(*MANY, wanted=300)))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("33+ tokens") for line in lines)
    assert any(line.startswith("single-line") for line in lines)
    assert "cut off after 200 of 300 holes" in lines[-1]
    assert "exact: 50 of 200, 95 % between 19.5 and 31.4 %" in lines


class Tags(HTMLParser):
    """Raises where a tag is closed that is not open; keeps what is named by address and each tag's name."""

    VOID = frozenset({"meta", "input", "circle", "line", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.addresses += [name for name, _ in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


@pytest.mark.parametrize(
    "outcomes",
    [MANY, [outcome()], [outcome(rejected="empty", text="", parses=None, finish=None)], [outcome(ms=0.0, steps=1)]],
)
def test_page_of_report_is_complete_and_loads_nothing(outcomes: list[CaseOutcome]) -> None:
    page = page_of(report(*outcomes))
    tags = parsed(page)
    assert tags.addresses == []
    assert not {"script", "link", "img", "iframe"} & set(tags.names)
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r"\b(nan|inf|None)\b", re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL))


def test_page_of_escapes_code() -> None:
    hostile = "</pre><script>alert(1)</script><b a='\">"
    shown = outcome(hostile, text=hostile, raw=hostile)
    made = replace(report(shown), source=hostile)
    page = page_of(replace(made, cases={hostile: case(hostile, prefix=hostile, suffix=hostile, path=hostile)}))
    assert "<script" not in page
    parsed(page)


def test_report_uncalibrated_model_names_no_confidence() -> None:
    uncalibrated = report(*(replace(each, confidence=None) for each in MANY))
    figures = as_json(uncalibrated)
    assert (figures["calibration_error"], figures["reliability"], figures["show_curve"]) == (None, [], [])
    assert "confidence" not in page_of(uncalibrated)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table_of(uncalibrated))
    assert "calibration error" not in console.export_text()


def test_page_of_samples_right_and_wrong_fills() -> None:
    page = page_of(report(*MANY))
    counts = {name: page.count(f'<details class="{name}">') for name in ("right", "wrong", "quiet")}
    assert counts == {"right": SAMPLE, "wrong": SAMPLE, "quiet": SAMPLE}


def test_charts_marks_lie_inside_plot() -> None:
    page = page_of(report(*MANY))
    svgs = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(svgs) == 7
    for svg in svgs:
        width, height = (int(side) for side in re.findall(r'viewBox="0 0 (\d+) (\d+)"', svg)[0])
        for axis, limit in (("x1?|x2|cx", width), ("y1?|y2|cy", height)):
            places = [float(at) for at in re.findall(rf' (?:{axis})="([^"]*)"', svg)]
            assert places
            assert all(0 <= place <= limit for place in places)


@pytest.mark.parametrize("values", [[0.0], [3, 3, 3], [1, 2, 500], [0.2, 0.9], [*range(1000)]])
def test_histogram_counts_each_value_once(values: list[float]) -> None:
    counts = [int(count) for count in re.findall(rf": (\d+) of {len(values)}<", histogram(values, "x", "x"))]
    assert sum(counts) == len(values)
