"""The actions that a menu lists, and their order."""

from dgls.change.offer import Diagnosed, offers
from dgls.change.task import HEAVILY, LIGHTLY, MORE, Action, Task
from dgls.code.document import Document, Span
from dgls.code.syntax import parse

TEXT = "def f(a):\n    pass\n\n\ndef g(b):\n    return c(b)\n"
RETURN = Span(TEXT.index("return"), TEXT.index("\n", TEXT.index("return")))
C = Span(TEXT.index("c(b)"), TEXT.index("c(b)") + 1)


def titles(span: Span, *diagnosed: Diagnosed, text: str = TEXT, instructions: bool = False) -> list[str]:
    return [offer.title for offer in made(span, *diagnosed, text=text, instructions=instructions)]


def made(span: Span, *diagnosed: Diagnosed, text: str = TEXT, instructions: bool = False) -> list:
    document = Document("file:///project/a.py", 1, "python", text)
    return offers(document, span, parse(document, span.start), diagnosed, instructions)


def test_offers_model_without_instructions_has_no_presets() -> None:
    assert titles(RETURN) == [
        "Fill all holes in this file",
        "Refine selection lightly",
        "Refine selection more",
        "Refine selection heavily",
        "Rewrite selection",
        "Rewrite selection (second candidate)",
        "Rewrite selection (third candidate)",
    ]


def test_offers_model_that_cannot_pin_has_no_fix_and_no_refinement() -> None:
    document = Document("file:///project/a.py", 1, "python", TEXT)
    made = offers(document, RETURN, parse(document, RETURN.start), [Diagnosed(RETURN, "wrong")], True, pins=False)
    assert {offer.task.action for offer in made} == {Action.FILL_ALL, Action.REWRITE}
    assert {offer.task.action for offer in offers(document, RETURN, None, [Diagnosed(RETURN, "wrong")], True)} > {
        Action.FIX,
        Action.REFINE,
    }


def test_offers_of_selection_have_distinct_tasks() -> None:
    tasks = [offer.task for offer in made(RETURN)]
    assert tasks[1:4] == [Task(Action.REFINE, RETURN, strength=strength) for strength in (LIGHTLY, MORE, HEAVILY)]
    assert tasks[4:] == [Task(Action.REWRITE, RETURN, seed=seed) for seed in range(3)]


def test_offers_presets_rewrite_with_instructions() -> None:
    presets = [offer.task for offer in made(RETURN, instructions=True) if offer.task.instruction]
    assert len(presets) == 4
    assert all(task.action is Action.REWRITE and task.instruction.endswith(".") for task in presets)


def test_offers_empty_selection_lists_only_fills() -> None:
    stub, elsewhere = TEXT.index("pass"), RETURN.start
    assert titles(Span(stub, stub)) == ["Fill here", "Fill all holes in this file"]
    assert titles(Span(elsewhere, elsewhere)) == ["Fill all holes in this file"]
    assert titles(Span(0, 0), text="x = 1\n") == []


def test_offers_repeated_diagnostic_gives_one_fix_first() -> None:
    undefined = Diagnosed(C, "undefined name 'c'\nsee the manual")
    assert titles(Span(C.start, C.start), undefined, undefined, Diagnosed(RETURN, undefined.message)) == [
        "Fix: undefined name 'c'",
        "Fill all holes in this file",
    ]
    assert made(C, undefined)[0].task == Task(Action.FIX, C, undefined.message)


def test_offers_long_or_blank_message_gives_short_title() -> None:
    title = titles(Span(C.start, C.start), Diagnosed(C, "word " * 40))[0]
    assert len(title) <= len("Fix: ") + 60
    assert title.endswith("word…")
    assert titles(Span(C.start, C.start), Diagnosed(C, " "))[0] == "Fix this"


def test_offers_selection_of_5000_lines_is_empty() -> None:
    text = "x = 1\n" * 5000
    assert titles(Span(0, len(text)), text=text) == []
    assert "Rewrite selection" in titles(Span(0, 600), text=text)


def test_offers_selection_of_very_long_line_is_empty() -> None:
    text = "x = [" + "1, " * 9000 + "]\n"
    assert titles(Span(0, len(text)), text=text) == []
    assert "Rewrite selection" in titles(Span(0, 600), text=text)


def test_offers_selection_without_word_is_empty() -> None:
    text = "f(\n    {},\n)\n"
    assert titles(Span(text.index("{"), len(text)), text=text) == []
    assert "Rewrite selection" in titles(Span(0, text.index("{")), text=text)


def test_offers_further_candidates_come_last() -> None:
    assert titles(RETURN, instructions=True)[-2:] == [
        "Rewrite selection (second candidate)",
        "Rewrite selection (third candidate)",
    ]
