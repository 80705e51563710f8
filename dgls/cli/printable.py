"""Source text made safe for a terminal: nothing in it can move the cursor or ring a bell."""


def printable(text: str) -> str:
    """Control and other unprintable characters as U+FFFD; tabs and line breaks stay, carriage returns go."""
    return "".join(c if c.isprintable() or c in "\n\t" else "" if c == "\r" else "\ufffd" for c in text)
