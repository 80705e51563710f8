"""What the editor's other open files define of the names that stand in the file at hand, imported or not.

Chosen by the text outside the region alone, and in the order in which the files were opened, so that typing inside it
leaves the prompt as it is. Only Python's definitions are known. Belongs to the reading thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dgls.code.languages import language_of
from dgls.context.files import Files, Texts
from dgls_engine.types import Snippet

_MOST_FILES = 16
_SCANNED = 100_000  # characters on either side of the region


def opened(files: Files, above: str, below: str, texts: Texts, known: str) -> Iterator[Snippet]:
    """One snippet a file, less what is `known` already; `texts` do not hold the file at hand."""
    words = set(re.findall(r"\w+", above[-_SCANNED:])) | set(re.findall(r"\w+", below[:_SCANNED]))
    for path, document in list(texts.items())[:_MOST_FILES]:
        if language_of(document.language, document.uri).id != "python":
            continue
        seen = files.outline(path, texts)
        found = seen.definitions.items() if seen is not None else ()
        shown = "".join(text for name, text in found if name in words and text not in known)
        if shown:
            yield Snippet(files.shown(path), shown)
