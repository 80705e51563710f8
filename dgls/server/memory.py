"""What a session remembers about one open document, beside its text.

All of it lies in one object, so that closing the document drops all of it. Runs on the asyncio loop.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgls.change.task import Task
from dgls.code.document import Document
from dgls.code.notebook import Neighbour
from dgls.code.syntax import Syntax
from dgls.suggest.acceptance import Shown
from dgls.suggest.cache import TypedThrough
from dgls.suggest.draft import Drafting


@dataclass(slots=True)
class Memory:
    """`opening` differs each time a document is opened: a document that is closed and opened again can have the same
    version. `syntax` is the last tree, `suggested` the last suggestions, `drafting` the last drafts. `deleted_at` is
    the place where the last edit deleted text. `fruitless` are the tasks that changed nothing in that text. `neighbour`
    is the document as other cells of its notebook see it. `shown` is the automatic suggestion that the user has neither
    taken nor refused, if such outcomes are logged.
    """

    opening: int
    syntax: Syntax | None = None
    suggested: TypedThrough | None = None
    drafting: Drafting | None = None
    deleted_at: int | None = None
    fruitless: tuple[Document, frozenset[Task]] | None = None
    neighbour: Neighbour | None = None
    shown: Shown | None = None
