"""Figures worked out by hand, and laws that hold for any outcomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.evaluation.cases.case import CaseOutcome
from dgls.evaluation.report.metrics import (
    Share,
    bucket_name,
    by_kind,
    by_length,
    calibration_error,
    quantile,
    reliability,
    show_curve,
    summarise,
)
from tests.evaluation.made_up import outcome


@pytest.mark.parametrize(
    ("share", "low", "high"),
    [  # as statsmodels' proportion_confint(method="wilson") gives them
        (Share(0, 40), 0.0, 0.0876),
        (Share(8, 10), 0.4902, 0.9433),
        (Share(500, 1000), 0.4691, 0.5309),
        (Share(10, 10), 0.7225, 1.0),
    ],
)
def test_share_interval_equals_wilsons(share: Share, low: float, high: float) -> None:
    assert share.interval == pytest.approx((low, high), abs=1e-4)


def test_share_of_zero_total_is_none() -> None:
    assert Share(0, 0).value is Share(0, 0).interval is None


@given(st.integers(0, 200), st.integers(1, 200))
def test_share_interval_contains_share(count: int, more: int) -> None:
    low, high = Share(count, count + more).interval or (2.0, -1.0)
    assert 0.0 <= low <= count / (count + more) <= high <= 1.0


@pytest.mark.parametrize(
    ("tokens", "name"),
    [
        (0, "1-4"),
        (4, "1-4"),
        (5, "5-8"),
        (8, "5-8"),
        (9, "9-16"),
        (17, "17-32"),
        (32, "17-32"),
        (33, "33+"),
        (999, "33+"),
    ],
)
def test_bucket_name_of_length_names_its_bucket(tokens: int, name: str) -> None:
    assert bucket_name(tokens) == name


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 2.5), (0.9, 3.7), (1.0, 4.0)])
def test_quantile_interpolates_linearly(share: float, expected: float) -> None:
    assert quantile([4.0, 1.0, 3.0, 2.0], share) == pytest.approx(expected)


def test_summarise_no_outcomes_gives_none() -> None:
    summary = summarise([])
    assert (summary.n, summary.exact.value, summary.similarity, summary.p50_ms) == (0, None, None, None)
    assert summary.calibration_error is None
    assert show_curve([]) == reliability([]) == []


def test_summarise_takes_each_share_of_applicable_outcomes() -> None:
    summary = summarise(
        [
            outcome("a", exact=True, passed=True, similarity=1.0, steps=4, passes=5, ms=10.0),
            outcome("b", passed=False, parses=False, repeats_after=True, raw_repeats_after=True, shown=False, ms=30.0),
            outcome(
                "c", rejected="x", text="", parses=None, shown=False, similarity=0.0, raw_repeats_after=True, ms=50.0
            ),
            outcome(
                "d", rejected="does not fit", text="", parses=None, shown=False, similarity=0.0, finish=None, ms=0.0
            ),
        ]
    )
    assert summary.passed == Share(1, 2)
    assert summary.exact == Share(1, 4)
    assert summary.similarity == pytest.approx(0.45)
    assert summary.suggested == Share(2, 4)
    assert summary.parses == Share(1, 2)
    assert summary.repeats_after == Share(1, 2)
    assert summary.raw_repeats_after == Share(2, 3)
    assert (summary.shown, summary.shown_exact) == (Share(1, 4), Share(1, 1))
    assert summary.steps == pytest.approx(20 / 3)
    assert summary.passes == pytest.approx(7)
    assert (summary.p50_ms, summary.p90_ms) == (30.0, pytest.approx(46.0))


def test_calibration_error_is_mean_distance_of_bins() -> None:
    sure = [outcome(f"s{n}", confidence=0.9, exact=n < 7) for n in range(10)]
    unsure = [outcome(f"u{n}", confidence=0.3, exact=n < 3) for n in range(10)]
    bins = reliability([*sure, *unsure], bins=2)
    assert [(each.confidence, each.right) for each in bins] == [
        (pytest.approx(0.3), Share(3, 10)),
        (pytest.approx(0.9), Share(7, 10)),
    ]
    assert calibration_error([*sure, *unsure], bins=2) == pytest.approx(0.1)


def test_show_curve_runs_from_surest_to_all() -> None:
    confidences = [(0.9, True), (0.8, True), (0.7, False), (0.7, True)]
    made = [outcome(str(n), confidence=sure, exact=exact) for n, (sure, exact) in enumerate(confidences)]
    points = show_curve([*made, outcome("none", rejected="empty", text="", confidence=1.0)], points=5)
    assert [(each.threshold, each.shown, each.exact) for each in points] == [
        (0.9, Share(1, 5), Share(1, 1)),
        (0.8, Share(2, 5), Share(2, 2)),
        (0.7, Share(4, 5), Share(3, 4)),
    ]


def test_metrics_uncalibrated_model_have_no_confidences() -> None:
    outcomes = [outcome(str(n), confidence=None, exact=n < 2) for n in range(5)]
    assert reliability(outcomes) == show_curve(outcomes) == []
    assert summarise(outcomes).calibration_error is None


OUTCOMES = st.lists(
    st.builds(
        outcome,
        tokens=st.integers(0, 60),
        kind=st.sampled_from(["single-line", "mid-word"]),
        confidence=st.floats(0.0, 1.0),
        exact=st.booleans(),
        rejected=st.sampled_from([None, "empty"]),
    ),
    max_size=40,
)


@given(OUTCOMES)
def test_by_kind_and_by_length_partition_outcomes(outcomes: list[CaseOutcome]) -> None:
    for groups in (by_length(outcomes), by_kind(outcomes)):
        assert sum(each.n for each in groups.values()) == len(outcomes)
        assert sum(each.exact.count for each in groups.values()) == sum(each.exact for each in outcomes)


@given(OUTCOMES)
def test_reliability_bins_ascend_with_equal_mass(outcomes: list[CaseOutcome]) -> None:
    bins = reliability(outcomes)
    sizes = [each.right.total for each in bins]
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert [each.low for each in bins] == sorted(each.low for each in bins)
    assert 0.0 <= (calibration_error(outcomes) or 0.0) <= 1.0


@given(OUTCOMES)
def test_show_curve_ascends_to_all_suggestions(outcomes: list[CaseOutcome]) -> None:
    points = show_curve(outcomes)
    counts = [each.shown.count for each in points]
    assert counts == sorted(set(counts))
    assert not points or counts[-1] == summarise(outcomes).suggested.count
