"""Which names a line of Python should define."""

import pytest

from dgls.code.names import missing_names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def f(items):\n    <LINE>\n    return total\n", ["total"]),
        ("def f(items):\n    <LINE>\n    for item in items:\n        total += item\n    return total\n", ["total"]),
        ("def f(items):\n    <HEAD>\n        print(item)\n", ["item"]),
        ("def f(items):\n    <LINE>\n    print(left, right)\n", ["left", "right"]),
        ("<LINE>\n\ndef f():\n    return os.name\n", ["os"]),
        ("<LINE>\nprint(total)\n", ["total"]),
        ("def f(items):\n    total = 0\n    <LINE>\n    return total\n", []),
        ("total = 0\n\ndef f(items):\n    <LINE>\n    return total\n", []),
        ("def f(total):\n    <LINE>\n    return total\n", []),
        ("def f(items):\n    <LINE>\n    return [item for item in items if item]\n", []),
        ("def f(items):\n    <LINE>\n    return sorted(items, key=lambda item: item)\n", []),
        ("def f(items):\n    <LINE>\n    for item in items:\n        print(item)\n", []),
        (
            "def f(items):\n    <LINE>\n    try:\n        pass\n    except items as e:\n        print(e)\n",
            [],
        ),
        ("def f(items):\n    <LINE>\n    with open(items) as file:\n        return file\n", []),
        ("def f(items):\n    <LINE>\n    match items:\n        case [a, *b]:\n            return a, b\n", []),
        ("def f(items):\n    <LINE>\n    total = 0\n    total += 1\n    return total\n", []),
        ("def f(items):\n    global total\n    <LINE>\n    total += 1\n", []),
        ("def f(items):\n    def g():\n        <LINE>\n        return items\n", []),
        ("def f(items):\n    print(total)\n    <LINE>\n    return total\n", []),
        ("def f(items):\n    <LINE>\n" + "    print(items)\n" * 12 + "    return total\n", []),
        ("from os import *\ndef f():\n    <LINE>\n    return name\n", []),
        ("def f(items):\n    <LINE>\n    return (total\n", []),
        ("def f(items):\n    <LINE>\n    return total\n" + "# long\n" * 10_000, []),
        ("class A:\n    def f(self):\n        <LINE>\n        return __class__, __file__, print\n", []),
    ],
)
def test_missing_names_are_those_that_are_read_below_and_written_nowhere(text: str, names: list[str]) -> None:
    line = "pass" if "<LINE>" in text else "if 1:"
    before, after = text.split("<LINE>" if "<LINE>" in text else "<HEAD>")
    assert missing_names(before, line, after) == names
