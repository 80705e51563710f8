"""Code of another language inside of a file: a script or style in markup, a fenced block in prose.

Reads the text above an offset and no tree. Pure.
"""

from __future__ import annotations

import re

from dgls.code.language import Language
from dgls.code.languages import language_of

_TAG = re.compile(r"<(/?)(script|style)\b((?:[^<>\"']|\"[^\"]*\"|'[^']*')*+)>", re.IGNORECASE)
_TAGS = tuple(case(tag) for tag in ("<script", "<style", "</script", "</style") for case in (str.lower, str.upper))
_LANG = re.compile(r"\blang=[\"']?(\w+)")
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_INFO = re.compile(r"[`~]*+[ \t]*+\{?\.?([\w+#-]*+)[^\n]*\n")
_OF_TAG = {"script": "javascript", "style": "css"}


def embedded_at(text: str, offset: int, outer: Language) -> tuple[Language, int] | None:
    """The language of the code around `offset`, and where that code starts, if it is in a file of another language."""
    if outer.kind == "markup":
        tag = _last_tag(text, offset)
        if tag is None or tag[1]:
            return None
        named = _LANG.search(tag[3])
        return _named(named[1] if named else _OF_TAG[tag[2].lower()]), tag.end()
    if outer.kind == "prose":
        if len(_FENCE.findall(text, 0, offset)) % 2 == 0:
            return None
        *_, fence = _FENCE.finditer(text, 0, offset)
        info = _INFO.match(text, fence.end(), offset)
        if info is not None:
            return _named(info[1].lower()), info.end()
    return None


def _last_tag(text: str, offset: int) -> re.Match[str] | None:
    """The last whole tag before `offset` that starts or ends a script or style."""
    end = offset
    while (end := max(text.rfind(tag, 0, end) for tag in _TAGS)) >= 0:
        if tag := _TAG.match(text, end, offset):
            return tag
    return None


def _named(name: str) -> Language:
    return language_of(name, f".{name}")
