"""Laws of the fitted calibration: it ascends, stays cautious with few fills, and is measured on unseen fills."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.evaluation.cases.case import Case, CaseOutcome
from dgls.evaluation.report.metrics import calibration_error, reliability, summarise
from dgls.evaluation.running.calibration_fit import (
    KEPT_RIGHT,
    LEAST_FILLS,
    LEAST_LINES,
    SHOWN_RIGHT,
    FilledCase,
    Sample,
    bias_from,
    fit,
    held_out,
    judged,
    kept_from,
    later_lines,
    shares_right,
    shown_from,
)
from dgls_engine.calibration import Calibration
from dgls_engine.types import Piece, Trial

SAMPLES = st.lists(st.tuples(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0])), st.booleans()), max_size=400)
BEFORE = Calibration(show_above=0.9, keep_above=0.123, length_bias=0.5)


def fills(samples: list[Sample], packages: int = 20) -> list[FilledCase]:
    made = []
    for index, (confidence, right) in enumerate(samples):
        package = f"package{index % packages}"
        case = Case(f"case{index}", "single-line", f"{package}/file.py", "python", "a = ", "b", "\n", package)
        outcome = CaseOutcome(
            id=case.id,
            kind=case.kind,
            language=case.language,
            tokens=1,
            answer="b",
            raw="b" if right else "c",
            text="b" if right else "c",
            rejected=None,
            probability=confidence,
            confidence=confidence,
            shown=True,
            exact=right,
            similarity=float(right),
            parses=True,
            repeats_after=False,
            raw_repeats_after=False,
            passed=None,
            steps=1,
            passes=1,
            ms=1.0,
            finish="stable",
        )
        made.append(FilledCase(case, outcome, ()))
    return made


def overconfident(count: int, seed: int = 0) -> list[Sample]:
    """A model that is right half as often as it says."""
    rng = random.Random(seed)
    return [(raw, rng.random() < raw / 2) for raw in (rng.random() for _ in range(count))]


@given(SAMPLES)
def test_shares_right_any_samples_makes_valid_points(samples: list[Sample]) -> None:
    points = shares_right(samples)
    Calibration(points)  # ascends, within 0 and 1
    assert len(points) <= 20
    assert bool(points) == bool(samples)


@given(SAMPLES, st.randoms(use_true_random=False))
def test_shares_right_shuffled_samples_gives_same_points(samples: list[Sample], rng: random.Random) -> None:
    assert shares_right(rng.sample(samples, len(samples))) == shares_right(samples)


@given(st.lists(st.floats(0, 1), min_size=100, max_size=300))
def test_shares_right_never_right_gives_confidence_near_zero(raws: list[float]) -> None:
    calibration = Calibration(shares_right([(raw, False) for raw in raws]))
    assert max(calibration.confidence(raw) for raw in (*raws, 1.0)) < 0.01


@given(st.lists(st.floats(0, 0.99), min_size=100, max_size=100, unique=True))
def test_shares_right_one_lucky_fill_stays_unsure(raws: list[float]) -> None:
    calibration = Calibration(shares_right([*((raw, False) for raw in raws), (1.0, True)]))
    assert calibration.confidence(1.0) < 0.15


def test_shares_right_overconfident_model_halves_confidence() -> None:
    calibration = Calibration(shares_right(overconfident(4000)))
    for raw in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert calibration.confidence(raw) == pytest.approx(raw / 2, abs=0.06)


def test_held_out_overconfident_fills_lowers_calibration_error() -> None:
    made = fills(overconfident(2000))
    raw = [each.outcome for each in made]
    unseen = held_out(made, 0.0, BEFORE)
    assert sorted(outcome.id for outcome in unseen) == sorted(outcome.id for outcome in raw)
    error, raw_error = calibration_error(unseen), calibration_error(raw)
    assert error is not None
    assert raw_error is not None
    assert error < 0.05 < 0.2 < raw_error
    shares = [each.right.value or 0.0 for each in reliability(unseen, 4)]
    assert shares == sorted(shares)


@pytest.mark.parametrize("packages", [1, 3, 20])
def test_held_out_judges_fill_without_its_own_sample(packages: int) -> None:
    """The one right fill is the surest; who never saw it claims next to nothing for it."""
    samples = [(index / 1000, False) for index in range(200)] + [(1.0, True)]
    unseen = {outcome.id: outcome for outcome in held_out(fills(samples, packages), 0.0, BEFORE)}
    assert unseen["case200"].confidence < 0.01


def test_fit_overconfident_model_shows_what_is_right_one_time_in_four() -> None:
    calibration = fit(fills(overconfident(4000)), 0.0, BEFORE)
    assert calibration.show_above == SHOWN_RIGHT
    shown = [judged(each.outcome, calibration) for each in fills(overconfident(4000, seed=1))]
    low = [outcome.exact for outcome in shown if outcome.shown and outcome.confidence < SHOWN_RIGHT + 0.05]
    assert sum(low) / len(low) == pytest.approx(SHOWN_RIGHT, abs=0.1)


@pytest.mark.parametrize("least", [0.1, 0.5, 1.0])
def test_fit_weak_model_shows_at_least_least_shown(least: float) -> None:
    weak = [(raw, right and index % 4 == 0) for index, (raw, right) in enumerate(overconfident(2000))]
    calibration = fit(fills(weak), least, BEFORE)
    shown = summarise([judged(each.outcome, calibration) for each in fills(weak)]).shown
    assert shown.value is not None
    assert least <= shown.value <= least + 0.1
    assert fit(fills(weak), 0.0, BEFORE).show_above == SHOWN_RIGHT


@given(st.lists(st.floats(0, 1), min_size=1), st.data())
def test_shown_from_any_confidences_shows_at_least_least(confidences: list[float], data: st.DataObject) -> None:
    least = data.draw(st.integers(0, len(confidences)))
    threshold = shown_from(confidences, least)
    assert threshold <= SHOWN_RIGHT
    assert sum(confidence >= threshold for confidence in confidences) >= least


def test_fit_rejected_fills_ignores_them() -> None:
    made = fills(overconfident(300))
    rejected = [replace(each, outcome=replace(each.outcome, rejected="empty", text="")) for each in made]
    assert fit([*made, *rejected], 0.0, BEFORE) == fit(made, 0.0, BEFORE)
    assert not any(judged(each.outcome, Calibration(show_above=0.0)).shown for each in rejected)


def test_fit_too_few_lines_keeps_keep_above() -> None:
    made = fills(overconfident(LEAST_LINES - 1))
    with_lines = [replace(each, lines=((0.9, True),)) for each in made]
    assert fit(with_lines, 0.0, BEFORE).keep_above == BEFORE.keep_above
    more = [*with_lines, with_lines[0]]
    assert fit(more, 0.0, BEFORE).keep_above == 0.9
    assert fit(more, 0.0, BEFORE).length_bias == BEFORE.length_bias


def test_kept_from_lines_finds_even_odds() -> None:
    rng = random.Random(0)
    lines = [(raw, rng.random() < raw) for raw in (rng.random() for _ in range(4000))]
    assert kept_from(lines) == pytest.approx(KEPT_RIGHT, abs=0.1)
    assert kept_from([(raw, False) for raw, _ in lines]) == 1.0


def test_later_lines_compares_with_authors_lines() -> None:
    pieces = [
        Piece("\n    a", 0.9),
        Piece(" = 1\n    ", 0.8),
        Piece("b", 0.7),
        Piece("  \n\n", 0.1),
        Piece("    c\n  d", 0.6),
    ]
    assert later_lines(pieces, "\n  a = 2\n\n  b\n  x\n") == ((0.7, True), (0.6, False), (0.6, False))
    assert later_lines(pieces[:1], "a") == ()
    assert later_lines((), "a") == ()


@pytest.mark.parametrize(("short", "fitted"), [("return a", 0.0), ("wrong", -0.75)])
def test_bias_from_trials_favours_right_lengths(short: str, fitted: float) -> None:
    """Two tokens more cost a nat: only where the shorter text is wrong must a token be worth more than half of one."""
    right = "return a" if short == "wrong" else "return a + 1"
    tried = [("return a", (Trial(short, 2, 3.0), Trial(right, 4, 4.2)))] * LEAST_FILLS
    assert bias_from(tried, 0.5) == fitted
    assert bias_from(tried[1:], 0.5) == 0.5
