"""A run's figures as one HTML file with plots and a sample of the cases.

The page loads nothing and has no scripts. All text from code or a model is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib.resources import files

from dgls.evaluation.cases.case import Case, CaseOutcome
from dgls.evaluation.report.charts import Bar, Series, bars_by_group, histogram, percent, reliability_plot, show_plot
from dgls.evaluation.report.metrics import Share, Summary, by_kind, by_length, reliability, show_curve, summarise
from dgls.evaluation.report.report import Report

SAMPLE = 20
"""Cases of each verdict that the page shows, evenly spread over the run."""
_ABOVE, _BELOW, _LONGEST = 8, 4, 4000  # lines around a hole, and characters of them


def page_of(report: Report) -> str:
    """The page as HTML. Raises `ValueError` if there is no outcome."""
    if not report.outcomes:
        raise ValueError("a report needs an outcome")
    style = (files("dgls.evaluation.report") / "page.css").read_text(encoding="utf-8")
    title = f"{report.header.model}: {report.source}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join((_head(report), _plots(report), _tables(report), _sample(report)))
        + "\n</body>\n</html>\n"
    )


def _head(report: Report) -> str:
    header, whole = report.header, summarise(report.outcomes)
    cards = [
        *([_card("pass@1", whole.passed, "its tests pass")] if whole.passed.total else []),
        _card("exact match", whole.exact, "what the author wrote"),
        _plain_card("edit similarity", _number(whole.similarity, 3), "0: nothing in common, 1: equal"),
        _card("shown automatically", whole.shown, "confident enough, and not dropped"),
        _card("exact of the shown", whole.shown_exact, "what a user would see"),
        _card("still parses", whole.parses, "of the suggestions"),
        _card("repeats what follows", whole.repeats_after, "of the suggestions"),
        _plain_card(
            "a suggestion takes", f"{_number(whole.p50_ms, 0)} ms", f"nine of ten {_number(whole.p90_ms, 0)} ms"
        ),
    ]
    cut = f"Cut off after {whole.n} of {len(report.cases)} holes." if not report.complete else ""
    return (
        f"<h1>{escape(header.model)}, filling {whole.n} holes</h1>\n"
        f'<p class="soft">{escape(report.source)}. {escape(report.device_name)}, {escape(header.dtype)}; hole policy '
        f"{escape(header.policy)}, seed {header.seed}, dgls {escape(header.version)}. "
        f"Under each share its 95 % interval (Wilson).</p>\n"
        + (f'<p class="notice">{cut}</p>\n' if cut else "")
        + _within("figures", cards)
    )


def _card(name: str, share: Share, note: str) -> str:
    if share.interval is None:
        return _plain_card(name, "–", note)
    low, high = share.interval
    return _plain_card(
        name,
        f"{share.count / share.total * 100:.1f} %",
        f"{low * 100:.1f} – {high * 100:.1f} %, {share.count} of {share.total}; {note}",
    )


def _plain_card(name: str, value: str, note: str) -> str:
    return f'<div>{escape(name)}<b>{value}</b><span class="soft">{escape(note)}</span></div>'


def _plots(report: Report) -> str:
    whole = summarise(report.outcomes)
    return _within("plots", [*_by_length(report, whole), *_by_confidence(report, whole), *_costs(report, whole)])


def _by_length(report: Report, whole: Summary) -> list[str]:
    lengths = by_length(report.outcomes)
    groups = [(name, each.n) for name, each in lengths.items()]

    def series(name: str, style: str, share_of: Callable[[Summary], Share]) -> Series:
        return Series(name, style, [Bar.of(share_of(each)) for each in lengths.values()])

    right = [series("exact match", "a", lambda each: each.exact)]
    if whole.passed.total:
        right.append(series("pass@1", "b", lambda each: each.passed))
    alike = [Bar(each.similarity, None, _number(each.similarity, 3)) for each in lengths.values()]
    flaws = [
        series("repeats what follows", "a", lambda each: each.raw_repeats_after),
        series("nothing left to suggest", "b", lambda each: Share(each.n - each.suggested.count, each.n)),
    ]
    across = "tokens in the author's text"
    return [
        _figure("Quality by length", bars_by_group(groups, right, across, "quality by length"), _key(right)),
        _figure(
            "Edit similarity by length",
            bars_by_group(groups, [Series("similarity", "a", alike)], across, "edit similarity by length"),
            "How similar the text is to the author's. No suggestion counts as 0.",
        ),
        _figure(
            "What goes wrong, by length",
            bars_by_group(groups, flaws, across, "flaws by length"),
            _key(flaws) + " Repetitions are counted in the model's text, before dgls removes any.",
        ),
    ]


def _by_confidence(report: Report, whole: Summary) -> list[str]:
    bins, points = reliability(report.outcomes), show_curve(report.outcomes)
    if not bins:
        return []
    return [
        _figure(
            "Does confidence mean anything?",
            reliability_plot(bins, "share of exact ones by confidence"),
            "The share of exact suggestions by confidence. On the dashed line, 0.3 is right three times in ten. Bins "
            "have equal mass; above each, its number of suggestions. Expected calibration error "
            f"{_number(whole.calibration_error, 3)}.",
        ),
        _figure(
            "Exact match by show rate",
            show_plot(points, (whole.shown, whole.shown_exact), "exact match of the shown by show rate"),
            'Exact match of the shown suggestions, from only the surest to all. <span class="key b"></span>as set.',
        ),
    ]


def _costs(report: Report, whole: Summary) -> list[str]:
    run = [outcome for outcome in report.outcomes if outcome.finish is not None]
    if not run:
        return []
    return [
        _figure(
            "Denoising steps",
            histogram([outcome.steps for outcome in run], "steps a hole", "steps"),
            f"{_number(whole.steps, 1)} steps and {_number(whole.passes, 1)} forward passes on average.",
        ),
        _figure(
            "Latency",
            histogram([outcome.ms for outcome in run], "ms a hole", "latency"),
            f"Half take {_number(whole.p50_ms, 0)} ms or less, nine of ten {_number(whole.p90_ms, 0)} ms. The engine's "
            "time, with the prompt.",
        ),
    ]


def _figure(title: str, plot: str, caption: str) -> str:
    return f"<figure><h3>{escape(title)}</h3>{plot}<figcaption>{caption}</figcaption></figure>"


def _key(series: Sequence[Series]) -> str:
    return "".join(f'<span class="key {each.style}"></span>{escape(each.name)}' for each in series) + "."


def _tables(report: Report) -> str:
    whole = summarise(report.outcomes)
    return (
        "<h2>By kind of hole</h2>\n"
        + _table(by_kind(report.outcomes), whole)
        + "<h2>By length, in tokens of the author's text</h2>\n"
        + _table(by_length(report.outcomes), whole)
    )


def _table(groups: dict[str, Summary], whole: Summary) -> str:
    heads = ["", "holes", "pass@1", "exact", "similar", "suggested", "parses", "repeats", "shown", "exact of shown"]
    heads += ["steps", "p50 ms", "p90 ms"]
    rows = [_row("", name, each) for name, each in groups.items()] + [_row("all", "all", whole)]
    return (
        '<div class="wide"><table><thead><tr>'
        + "".join(f"<th>{head}</th>" for head in heads)
        + f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>\n"
    )


def _row(style: str, name: str, summary: Summary) -> str:
    shares = (summary.suggested, summary.parses, summary.repeats_after, summary.shown, summary.shown_exact)
    cells = [
        escape(name),
        str(summary.n),
        _share(summary.passed),
        _share(summary.exact),
        _number(summary.similarity, 3),
        *map(_share, shares),
        _number(summary.steps, 1),
        _number(summary.p50_ms, 0),
        _number(summary.p90_ms, 0),
    ]
    return f'<tr class="{style}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _sample(report: Report) -> str:
    """Radio buttons choose the verdict, without a script."""
    known = [outcome for outcome in report.outcomes if outcome.id in report.cases]
    groups = {
        name: [outcome for outcome in known if _verdict(outcome)[0] == name] for name in ("right", "wrong", "quiet")
    }
    labels = {"every": f"all ({len(known)})"}
    for name, words in (("right", "right"), ("wrong", "wrong"), ("quiet", "nothing suggested")):
        labels[name] = f"{words} ({len(groups[name])})"
    picks = "".join(
        f'<input class="pick" type="radio" name="pick" id="{name}"{" checked" if name == "every" else ""}>'
        for name in labels
    )
    buttons = "".join(f'<label for="{name}">{escape(words)}</label>' for name, words in labels.items())
    chosen = {outcome.id for group in groups.values() for outcome in _spread(group)}
    cases = "\n".join(_case(report.cases[each.id], each) for each in known if each.id in chosen)
    return (
        f'<h2>What it wrote</h2>\n<p class="soft">At most {SAMPLE} of each verdict, evenly spread over the run.</p>\n'
        f'<section>{picks}<div class="picks">{buttons}</div>\n{cases}\n</section>'
    )


def _spread(outcomes: Sequence[CaseOutcome]) -> list[CaseOutcome]:
    if len(outcomes) <= SAMPLE:
        return list(outcomes)
    return [outcomes[len(outcomes) * index // SAMPLE] for index in range(SAMPLE)]


def _verdict(outcome: CaseOutcome) -> tuple[str, str]:
    """The verdict's CSS class and words. A fill that passes the tests is right, whatever the author wrote."""
    if outcome.rejected is not None:
        return "quiet", f"nothing: {outcome.rejected}"
    if outcome.exact:
        return "right", "exact"
    return ("right", "passes the tests") if outcome.passed else ("wrong", "other text")


def _case(case: Case, outcome: CaseOutcome) -> str:
    style, words = _verdict(outcome)
    above = "\n".join(case.prefix[-_LONGEST:].split("\n")[-_ABOVE:])
    below = "\n".join(case.suffix[:_LONGEST].split("\n")[:_BELOW])
    filled = [("the author wrote", "author", outcome.answer), ("the model wrote", "", outcome.text or outcome.raw)]
    pair = "".join(
        f'<div><span class="soft">{name}</span><pre>{escape(above)}<mark class="{mark}">{escape(text)}</mark>'
        f"{escape(below)}</pre></div>"
        for name, mark, text in filled
    )
    facts = [
        *([] if outcome.confidence is None else [f"confidence {outcome.confidence:.2f}"]),
        f"{outcome.tokens} tokens",
        f"{outcome.steps} steps",
        f"{outcome.ms:.0f} ms",
        f"similarity {outcome.similarity:.2f}",
        *_flags(outcome),
    ]
    return (
        f'<details class="{style}"><summary><span class="badge">{escape(words)}</span>{escape(case.id)} '
        f"<code>{escape(_one_line(outcome.text or outcome.raw))}</code></summary>"
        f'<div><p class="soft">{escape(case.path)}: {escape(", ".join(facts))}</p><div class="pair">{pair}</div></div>'
        "</details>"
    )


def _flags(outcome: CaseOutcome) -> Iterable[str]:
    if outcome.passed is not None:
        yield "tests pass" if outcome.passed else "tests fail"
    if outcome.parses is False:
        yield "does not parse"
    if outcome.raw_repeats_after:
        yield "repeats what follows"
    if outcome.shown:
        yield "would be shown"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:79] + "…"


def _share(share: Share) -> str:
    return f'<span title="{percent(share)}">{"–" if share.value is None else f"{share.value * 100:.1f} %"}</span>'


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _within(style: str, parts: Iterable[str]) -> str:
    return f'<div class="{style}">\n' + "\n".join(parts) + "\n</div>"
