"""What the client can do and which folders it works in. Frozen; knows none of LSP's classes."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from dgls.code.document import PositionEncoding


@dataclass(frozen=True, slots=True)
class Client:
    """The capabilities that the client declared. `folders` are the URIs of its workspace folders.

    - `menu_only`: it shows suggestions in the completion menu or not at all; `registers_completion`: the server may
      announce that menu after `initialize`, too
    - `offers_choices`: it shows a message with buttons and does not stop the user for an answer
    - `configuration`, `progress`: the server may request settings and show progress bars
    - `drafts`, `suggested`: it wants `dgls/draft` and `dgls/suggested`
    - `actions`: it takes code actions, not only commands; `resolves_actions`: it gets their edit when one is chosen;
      `tags_actions`: it takes the tag of LLM-generated actions
    - `applies_edits`: it applies edits on request; `versions_edits`: edits of one version of a document;
      `annotates_edits`: it shows change annotations
    """

    encoding: PositionEncoding = "utf-16"
    menu_only: bool = False
    registers_completion: bool = False
    offers_choices: bool = False
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
        """The path that a model is shown: relative to its workspace folder, or the file name alone."""
        for folder in self.folders:
            if uri.startswith(folder.rstrip("/") + "/"):
                return unquote(uri[len(folder.rstrip("/")) + 1 :])
        return unquote(uri.rsplit("/", 1)[-1])
