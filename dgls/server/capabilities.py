"""Who the client is: what it can do, and where it works. Frozen; knows none of the protocol's classes."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from dgls.code.document import PositionEncoding


@dataclass(frozen=True, slots=True)
class Client:
    """`folders` are the URIs of its workspace folders.

    `menu_only`: it shows suggestions in its completion menu or nowhere.
    It asked to be told of settings (`configuration`), of work under way (`progress`), of drafts and of what each
    suggestion took (`suggested`). It knows code actions beside mere commands (`actions`), fetches what one does when
    it is chosen (`resolves_actions`), marks those of a model (`tags_actions`). It makes edits when told to
    (`applies_edits`), of a certain version alone (`versions_edits`), and shows what is said of one (`annotates_edits`).
    """

    encoding: PositionEncoding = "utf-16"
    menu_only: bool = False
    configuration: bool = False
    progress: bool = False
    drafts: bool = False
    suggested: bool = False
    actions: bool = False
    resolves_actions: bool = False
    tags_actions: bool = False
    applies_edits: bool = False
    versions_edits: bool = False
    annotates_edits: bool = False
    folders: tuple[str, ...] = ()

    def shown_path(self, uri: str) -> str:
        """What a model is told of a file's path: the part inside the workspace, else the name alone."""
        for folder in self.folders:
            if uri.startswith(folder.rstrip("/") + "/"):
                return unquote(uri[len(folder.rstrip("/")) + 1 :])
        return unquote(uri.rsplit("/", 1)[-1])
