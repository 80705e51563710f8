"""Running a case on the path of a suggestion, and judging the fill by its text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from dgls.code.languages import language_of
from dgls.evaluation.cases.case import Case, CaseOutcome
from dgls.evaluation.running.repetition import repeats_after
from dgls.evaluation.running.run_case import Conditions, as_typed, run_case
from dgls_engine import CancelToken, Engine, Fill, Hole, Infill, InfillRequest, Pinned, Step, Timings
from dgls_engine.calibration import Calibration
from dgls_engine.errors import RequestTooLarge
from dgls_engine.profile import ModelInfo, Profile, PromptFormat
from dgls_engine.text.tokenizer import Tokenizer
from tests.engine.checkpoints import raw_checkpoint
from tests.evaluation.made_up import CASE, case

PROFILE = Profile("raw", "pad", 96, 128, 36, 20, calibration=Calibration(((0.2, 0.1), (1.0, 0.9)), show_above=0.6))


INFO = ModelInfo("parrot", 0, 0, "cpu", "CPU", "float32", 0.0, PROFILE)


@dataclass
class Parrot:
    """An engine that always says the same."""

    text: str
    confidence: float = 1.0
    profile: Profile = PROFILE
    info: ModelInfo = INFO
    asked: list[InfillRequest] = field(default_factory=list)

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        self.asked.append(request)
        if len(self.text) > 1000:
            raise RequestTooLarge("too long")
        yield Step(1, (), 0.0)
        yield Infill(
            (Fill(self.text, (), self.profile.calibration.confidence(self.confidence), self.confidence),),
            3,
            "stable",
            Timings(2.0, 5.0),
            1,
            1,
            1,
            1,
        )


def filled(text: str, case: Case = CASE, conditions: Conditions | None = None, confidence: float = 1.0) -> CaseOutcome:
    return run_case(Parrot(text, confidence), case, lambda text: len(text.split()), conditions or Conditions())


def test_run_case_authors_text_is_exact() -> None:
    outcome = filled("    return a + b")
    assert outcome.exact
    assert (outcome.similarity, outcome.parses, outcome.rejected) == (1.0, True, None)
    assert (outcome.repeats_after, outcome.raw_repeats_after) == (False, False)
    assert (outcome.tokens, outcome.steps, outcome.ms, outcome.finish) == (4, 3, 7.0, "stable")


@pytest.mark.parametrize("text", ["    return a + b  ", "    return a + b\n", "return a + b"])
def test_run_case_different_outer_blanks_is_exact(text: str) -> None:
    assert filled(text).exact


def test_run_case_other_text_is_not_exact() -> None:
    outcome = filled("    return a - b")
    assert not outcome.exact
    assert 0.8 < outcome.similarity < 1.0


def test_run_case_fill_that_breaks_file_does_not_parse() -> None:
    # As long as the bracket is open, the product can't tell: nothing parsed before.
    open_bracket = replace(CASE, prefix="x = [\n", answer="    1]", suffix="\ny = 2\n")
    assert filled("    1, 2", open_bracket).parses is False
    assert filled("    2]", open_bracket).parses is True


def test_run_case_broken_or_unknown_source_leaves_parses_none() -> None:
    assert filled("    return a + b", replace(CASE, suffix="\n)\n")).parses is None
    assert filled("anything", replace(CASE, language="cobol", path="x.cob")).parses is None


def test_run_case_blank_fill_is_rejected_with_reason() -> None:
    outcome = filled("\n", confidence=1.0)
    assert (outcome.rejected, outcome.text, outcome.shown, outcome.exact) == (
        "nothing but whitespace",
        "",
        False,
        False,
    )
    assert (outcome.parses, outcome.similarity) == (None, 0.0)


def test_run_case_hole_larger_than_canvas_is_not_run() -> None:
    outcome = filled("x" * 1001)
    assert (outcome.finish, outcome.rejected, outcome.steps) == (None, "does not fit the canvas", 0)


@pytest.mark.parametrize(("raw", "calibrated", "shown"), [(1.0, 0.9, True), (0.6, 0.5, False)])
def test_run_case_shows_by_calibrated_confidence(raw: float, calibrated: float, shown: bool) -> None:
    outcome = filled("    return a + b", confidence=raw)
    assert outcome.probability == raw
    assert outcome.confidence == pytest.approx(calibrated)
    assert outcome.shown is shown


def test_run_case_uncalibrated_model_gives_no_confidence() -> None:
    uncalibrated = Parrot("    return a + b", 0.6, replace(PROFILE, calibration=Calibration()))
    outcome = run_case(uncalibrated, CASE, len, Conditions())
    assert (outcome.confidence, outcome.probability, outcome.shown) == (None, 0.6, True)


def test_run_case_request_equals_editors_request() -> None:
    parrot = Parrot("x")
    run_case(parrot, CASE, len, Conditions(seed=7, max_steps=4))
    (request,) = parrot.asked
    assert [type(segment) for segment in request.segments] == [Pinned, Hole, Pinned]
    assert (request.seed, request.limits.max_steps, request.limits.deadline_ms) == (7, 4, None)
    assert (request.context.path, request.context.language) == ("add.py", "python")
    assert CASE.answer not in str(request)
    assert request.segments[1] == Hole(max_tokens=32, stop="\n")


def test_run_case_only_single_line_kinds_stop_at_newline() -> None:
    stops = {}
    for kind in ("single-line", "mid-word", "multi-line", "random-span"):
        parrot = Parrot("x")
        run_case(parrot, replace(CASE, kind=kind), len, Conditions())
        stops[kind] = parrot.asked[0].segments[1].stop
    assert stops == {"single-line": "\n", "mid-word": "\n", "multi-line": None, "random-span": None}


@pytest.mark.parametrize(("prompt_format", "stop"), [("plain", "\n"), ("raw", None)])
def test_run_case_unasked_fills_lines_of_a_model_that_continues(prompt_format: PromptFormat, stop: str | None) -> None:
    parrot = Parrot("x")
    parrot.profile = replace(parrot.profile, prompt_format=prompt_format)
    run_case(parrot, replace(CASE, kind="multi-line"), len, Conditions(unasked=True))
    assert parrot.asked[0].segments[1].stop == stop


@pytest.mark.parametrize(
    ("prefix", "answer", "suffix", "typed"),
    [
        ("a\n", "    b\n", "c\n", ("    b", "\nc\n")),
        ("a\r\n", "b\r\n", "c", ("b", "\r\nc")),
        ("", "b\n", "", ("b", "\n")),
        ("a\n", "b", "\nc", ("b", "\nc")),
        ("x = (", "1)\n", "y", ("1)\n", "y")),
    ],
)
def test_as_typed_whole_lines_moves_line_break_to_suffix(
    prefix: str, answer: str, suffix: str, typed: tuple[str, str]
) -> None:
    typed_case = as_typed(case("a", prefix=prefix, answer=answer, suffix=suffix))
    assert (typed_case.answer, typed_case.suffix) == typed
    assert typed_case.prefix + typed_case.answer + typed_case.suffix == prefix + answer + suffix


@pytest.mark.parametrize(
    ("prefix", "fill", "suffix", "repeats"),
    [
        ("def f():\n", "    x = 1\n    return x", "\n    return x\n", True),
        ("def f():\n", "    return x", "\n    return x\n", True),
        ("def f():\n", "    return x", "\n\n    return x\n", True),  # the next line that is not blank
        ("def f():\n", "    x = 1\n    return x\n    y", "\n    return x\n", False),  # the end counts
        ("def f():\n", "    a()\n    b()\n    c", "\n    a()\n    b()\n    c(1)\n", True),  # the last one is cut short
        ("if a:\n", "    return x", "\nreturn x\n", False),  # another body
        ("def f():\n    re", "turn x", "\n    return x\n", True),
        ("print(", "a, c)", ")\n", True),
        ("print((", "a, c)", ")\n", False),  # the brackets pair
        ("x = [\n", "    1,\n]", "\n]\n", True),
        ("x = [[\n", "    1,\n]", "\n]\n", False),
        ("total = ", "a + b", " + b\n", True),
        ("total = ", "my", "y + 1\n", False),
        ("retu", "rn", "n x\n", False),
        ("x = ", "self.", "self.a\n", True),
        ("x = ", "items", "s)\n", False),
        ("x = ", "", "\n", False),
    ],
)
def test_repeats_after_fill_before_suffix_detects_repetition(
    prefix: str, fill: str, suffix: str, repeats: bool
) -> None:
    answer = "    1]," if "[[" in prefix else "a, b)" if "((" in prefix else "?"
    assert repeats_after(prefix, fill, suffix, answer, language_of("python")) is repeats


def test_repeats_after_authors_repetition_is_false() -> None:
    rows = ("x = [\n", "    0, 0,", "\n    0, 0,\n]\n")
    assert not repeats_after(*rows, "    0, 0,", language_of("python"))
    assert repeats_after(*rows, "    1, 1,", language_of("python"))


@pytest.fixture(scope="module")
def engine_and_encode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Callable[[str], list[int]]]]:
    """An engine of a random model that keeps to a draft's length, and its tokenizer."""
    folder = raw_checkpoint(tmp_path_factory.mktemp("model"), sharpness=60, canvas_length=96)
    with Engine.open(folder, overrides={"hole_policy": "fixed"}) as engine:
        yield engine, Tokenizer(folder / "tokenizer.json").encode


@dataclass
class RecordingEngine:
    """An engine that records its infills."""

    engine: Engine
    infills: list[Infill] = field(default_factory=list)

    @property
    def info(self) -> ModelInfo:
        return self.engine.info

    @property
    def profile(self) -> Profile:
        return self.engine.profile

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        for event in self.engine.infill(request, cancel):
            if isinstance(event, Infill):
                self.infills.append(event)
            yield event


def test_run_case_true_length_reveals_only_the_length(
    engine_and_encode: tuple[Engine, Callable[[str], list[int]]],
) -> None:
    engine, encode = engine_and_encode
    recording = RecordingEngine(engine)
    answers = ("    return total", "    return value", "    return total + 1 - 2")
    lengths = [len(encode(answer)) for answer in answers]
    assert lengths[0] == lengths[1] < lengths[2]
    for answer in answers:
        run_case(recording, replace(CASE, answer=answer), lambda text: len(encode(text)), Conditions(true_length=True))
    assert [each.hole_tokens for each in recording.infills] == lengths
    one, same, longer = (each.texts[0] for each in recording.infills)
    assert one == same != longer
