"""One file per LSP feature, or a natural group; each reads as four moves: snapshot, plan, infill, render."""
