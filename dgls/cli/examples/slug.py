import re


def slug(title):
    """The title in lower case, with one dash in place of each run of other characters."""
    words = re.findall(r"[a-z0-9]+", title.lower())
    <HOLE: return "-".join(words)>
