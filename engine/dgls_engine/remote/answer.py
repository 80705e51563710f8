"""From a chat model's answer to the text of a hole: what it wraps around the code, and repeats of it, is cut off.

    thoughts -> introductions, fences, tags -> the code before again -> the code after again

A chat model that is asked for exactly the missing code still talks, formats, and begins with the line or the function
that it stands in. The rules are cautious: text stays unless it is clearly not the hole's. What repeats the rest of the
hole's line or closes a bracket twice is left to the caller, who knows the language. Pure; knows texts alone.
"""

from __future__ import annotations

import re

from dgls_engine.prompt.formats import THOUGHT_CLOSES, THOUGHT_OPENS

_LONGEST = 20_000
"""Characters of an answer without its thoughts, and of the code before and after, that are looked at."""

_THOUGHTS = (
    *((f"<{name}>", f"</{name}>") for name in ("think", "thinking", "thought", "reasoning")),
    ("[THINK]", "[/THINK]"),
    (THOUGHT_OPENS, THOUGHT_CLOSES),
)
_PROSE = frozenset({"markdown", "mdx", "quarto", "rmd", "plaintext", "restructuredtext", "git-commit", "latex", "tex"})
"""Language ids in which sentences, and fences, are the text itself."""

_TAG = re.compile(r"\s*<(region|answer|missing|hole|completion|current|fill|result|code|output)>[ \t]*\n?")
_LATE_CLOSER = re.compile(r"\n?[ \t]{0,80}</(?:region|current|above|instruction)>")
_IN_MARKUP = ("code", "output")
_MARKUP = frozenset({"html", "xml", "vue", "svelte", "astro", "javascriptreact", "typescriptreact", *_PROSE})
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})([^`\n]*)")
_INLINE_FENCE = re.compile(r"\s*```([^`\n]+)```\s*")
_OUTER_FENCES = frozenset({"markdown", "md", "text", "plaintext"})
_ROUNDS = 8
_SENTENCE = re.compile(r"[A-Z*\"'`][^\n]{0,200}\w,? \w[^\n]{0,200}[.:!]\**")
_INTRODUCTION = re.compile(
    r"\s*(?:sure|certainly|of course|okay,|here(?:['’]s| is| are)|below is"
    r"|the (?:missing|completed?|rest of|full|region))\b[^\n]{0,200} [^\n]{0,200}[.:!]\**[ \t]*(?:\n|$)",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"\n[ \t]*\n\**(?:Explanation|Note|Let me know|Hope|I(?:['’]ve|['’]m)? |The (?:code|region|missing|above)\b"
    r"|This (?:code|line|function|implementation|region|will|\w+s)\b)"
    r"[^\n]{0,200} [^\n]{0,200}[.:!?]\**[ \t]*(?:\n|$)"
)
_REFUSAL = re.compile(
    r"\s*(?:i(?:['’]m| am) (?:sorry|unable|not able)|sorry, |i apologi[sz]e|i can(?:not|['’]t) |as an ai\b)",
    re.IGNORECASE,
)
_KNOWN_LINES = 200
"""So many lines that are not blank are compared with an answer's, before the hole and after it."""


def text_of(answer: str, before: str, after: str, language: str = "", one_line: bool = False, end: bool = True) -> str:
    """The text that belongs between `before` and `after`, with \\n as its only line break; "" if there is none.

    `one_line`: it is the rest of a line, or a part of one. An answer that did not come to its `end` counts up to its
    last whole line.
    """
    before, after = _plain(before[-_LONGEST:]), _plain(after[:_LONGEST])
    told = without_thought(answer, before + after)
    text = _plain(told[:_LONGEST])
    if not end or len(told) > _LONGEST:
        text = text[: text.rfind("\n") + 1]
    text = _unwrapped(text, before + after, language)
    if language not in _PROSE and _REFUSAL.match(text):
        return ""
    lines = _before_repeated(_continuing(_from_code(text.split("\n")), before, one_line), after)
    if one_line:
        lines = lines[:1]
    text = "\n".join(lines).rstrip("\n")
    return text if after.partition("\n")[0].strip() else text.rstrip()


def without_thought(text: str, given: str = "") -> str:
    """The text behind what the model thought before. A thought without an end leaves nothing; one without a beginning
    was opened by the prompt. Marks that are in the `given` code are code."""
    for opens, closes in _THOUGHTS:
        if opens in given or closes in given:
            continue
        thought, closed, rest = text.partition(closes)
        if text.lstrip().startswith(opens):
            return rest
        if closed and opens not in thought:
            return rest
    return text


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unwrapped(text: str, given: str, language: str) -> str:
    for _ in range(_ROUNDS):
        inner = text if language in _PROSE else _without_talk(text)
        inner = _without_tag(_without_fence(inner, language in _PROSE), given, language)
        if inner == text:
            break
        text = inner
    return text


def _without_talk(text: str) -> str:
    """Without an introduction of one line, and without remarks: paragraphs behind the code that are not indented."""
    introduction = _INTRODUCTION.match(text)
    text = text[introduction.end() :] if introduction is not None else text
    remark = _REMARK.search(text)
    return text[: remark.start()] if remark is not None else text


def _without_fence(text: str, prose: bool) -> str:
    """The inside of the first fence, if nothing but sentences stands before it."""
    inline = _INLINE_FENCE.fullmatch(text)
    if inline is not None and not prose:
        return inline[1]
    lines = text.split("\n")
    fences = [(at, mark) for at, line in enumerate(lines) if (mark := _FENCE.fullmatch(line)) is not None]
    if not fences:
        return text
    first, opener = fences[0]
    talk = [line.strip() for line in lines[:first] if line.strip()]
    if prose and (talk or opener[2].strip() not in _OUTER_FENCES):
        return text
    if not all(_SENTENCE.fullmatch(line) for line in talk):
        return text
    closers = [at for at, mark in fences[1:] if mark[1].startswith(opener[1]) and not mark[2].strip()]
    end = (closers[-1] if prose else closers[0]) if closers else len(lines)
    return "\n".join(lines[first + 1 : end])


def _without_tag(text: str, given: str, language: str) -> str:
    tag = _TAG.match(text)
    if tag is not None and f"<{tag[1]}>" not in given and not (language in _MARKUP and tag[1] in _IN_MARKUP):
        return text[tag.end() :].partition(f"</{tag[1]}>")[0]
    late = _LATE_CLOSER.search(text)
    return text[: late.start()] if late is not None and late[0].strip() not in given else text


def _continuing(lines: list[str], before: str, one_line: bool) -> list[str]:
    """The lines that continue `before`, without those and without the beginning of a line that it has already."""
    *above, left = before.split("\n")
    indent = _indentation(left)
    known = [line for line in above if line.strip()][-_KNOWN_LINES:]
    repeated = _repeated(lines, known, left.strip())
    if repeated:
        last = next(line for line in reversed(lines[:repeated]) if line.strip())
        lines = _shifted(lines[repeated:], _indentation(last), _indentation(known[-1]))
        lines = _from_code(lines)
    if not lines:
        return []
    first, rest, own = lines[0], lines[1:], _indentation(lines[0])
    if not left.strip():
        if own.startswith(left):
            return [first[len(left) :], *rest]
        return [first.lstrip(" \t"), *(_shifted(rest, own, left) if _relative(first, rest, left) else rest)]
    start = left.strip()
    if first.strip().startswith(start) and (len(start) > 1 or start.isalnum() or start in "\"'`_"):
        again = first.strip()[len(start) :]
        return [again.lstrip(" \t") if left != left.rstrip() else again, *_shifted(rest, own, indent)]
    if not one_line and left.rstrip().endswith((":", "{")):
        deeper = len(own.expandtabs(4)) > len(indent.expandtabs(4))
        return ["", *(lines if deeper else _shifted(lines, own, indent + ("\t" if "\n\t" in before else "    ")))]
    word = re.search(r"\w+$", left)
    if word is not None and first.startswith(word[0]):
        return [first[len(word[0]) :], *rest]
    return [(" " if own and left == left.rstrip() else "") + first.lstrip(" \t"), *rest]


def _repeated(lines: list[str], known: list[str], left: str) -> int:
    """How many of the first lines repeat the `known` lines right before the hole; then goes on what is `left` of its
    own line. Blank lines don't count."""
    told = [(at, line.strip()) for at, line in enumerate(lines) if line.strip()][: _KNOWN_LINES + 1]
    texts, before = [line for _, line in told], [line.strip() for line in known]
    for count in range(min(len(texts), len(before)), 0, -1):
        goes_on = not left or (count < len(texts) and texts[count].startswith(left))
        if goes_on and texts[:count] == before[-count:] and _telling(texts[:count]):
            return told[count - 1][0] + 1
    return 0


def _before_repeated(lines: list[str], after: str) -> list[str]:
    """The lines before those that repeat, to the end, what follows the hole from its next line on."""
    known = [line.strip() for line in after.split("\n")[1:] if line.strip()][:_KNOWN_LINES]
    told = [(at, line.strip()) for at, line in enumerate(lines) if line.strip()]
    for number, (at, line) in enumerate(told):
        if not known or line != known[0]:
            continue
        tail = [text for _, text in told[number : number + len(known)]]
        if tail == known[: len(tail)] and _telling(tail):
            return lines[:at]
    return lines


def _telling(lines: list[str]) -> bool:
    """Whether one of the lines is no mere bracket or keyword, which code repeats all the time."""
    return any(len(line) > 3 and re.search(r"\w", line) for line in lines)


def _relative(first: str, rest: list[str], left: str) -> bool:
    """Whether `rest` is indented by its first line, not by the file: it is less deep than the hole's line, or no deeper
    than it where a colon of the first line wants it deeper."""
    widths = [len(_indentation(line).expandtabs(4)) for line in rest if line.strip()]
    here = len(left.expandtabs(4))
    return bool(widths) and (min(widths) < here or (first.rstrip().endswith(":") and min(widths) == here))


def _from_code(lines: list[str]) -> list[str]:
    """The lines from the first that is not blank."""
    return lines[next((at for at, line in enumerate(lines) if line.strip()), len(lines)) :]


def _shifted(lines: list[str], old: str, new: str) -> list[str]:
    return [new + line[len(old) :] if line.startswith(old) and line.strip() else line for line in lines]


def _indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]
