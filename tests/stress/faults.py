"""`python -m tests.stress.faults [NAME ...]`: what a server, its pipes and its machine can suffer, one row a fault.

Each fault is tried on a real server (`dgls serve`, the embedded model), or names the tests that hold it. Prints a row
for each, with what was seen; exits with 1 if one does not hold. Linux; takes some minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable

from tests.stress import limit_faults, stream_faults, tcp_faults

Fault = Callable[[], Awaitable[str]]
"""Tries one fault. Its docstring says what must hold. Returns what was seen; raises `NotHeld`."""

TRIED: tuple[Fault, ...] = (*stream_faults.ALL, *limit_faults.ALL, *tcp_faults.ALL)

TESTED = {
    "end of stdin while the model loads": "tests/e2e/test_lifecycle.py::test_end_of_stdin_ends_the_process",
    "the client's process dies": (
        "tests/e2e/test_lifecycle.py::test_client_that_ends_while_its_pipes_stay_open_ends_the_server"
    ),
    "nobody reads stderr": "tests/e2e/test_lifecycle.py::test_client_that_does_not_read_the_log_is_served",
    "stdout is closed": "tests/e2e/test_lifecycle.py::test_client_that_stops_reading_ends_the_process",
    "nobody reads stdout and stdin ends": (
        "tests/e2e/test_lifecycle.py::test_client_that_does_not_read_is_served_no_more_when_stdin_ends"
    ),
    "a message of 256 MB": "tests/e2e/test_protocol.py::test_message_that_is_too_long_is_skipped",
    "a length of thousands of digits": "tests/e2e/test_protocol.py::test_length_of_thousands_of_digits_is_no_crash",
    "another protocol on stdin": (
        "tests/e2e/test_protocol.py::test_another_protocol_on_stdin_ends_the_server_with_one_line"
    ),
    "a second TCP client": "tests/e2e/test_tcp.py::test_tcp_serves_one_client_on_loopback",
    "garbage, a browser and others without the token": "tests/e2e/test_tcp.py::test_tcp_turns_away_who_has_no_token",
    "a port scan before the editor": "tests/e2e/test_tcp.py::test_tcp_waits_for_the_one_while_others_keep_silent",
    "the disk is full while the small model is pulled": (
        "tests/engine/weights/test_small.py::test_pull_small_on_a_full_disk_says_what_to_do_and_leaves_nothing"
    ),
    "the disk is full while a hub model is pulled": (
        "tests/engine/weights/test_hub.py::test_pull_full_disk_raises_before_download"
    ),
    "the disk is full while packed experts are written": (
        "tests/engine/weights/test_expert_cache.py::test_load_disk_takes_no_whole_file_warns_and_keeps_no_entry"
    ),
    "two writers of one entry of packed experts": (
        "tests/engine/weights/test_expert_cache.py::test_load_two_writers_keep_one_entry"
    ),
    "the clock jumps": "tests/stress/test_faults.py::test_no_wait_depends_on_the_time_of_day",
    "memory runs out in a request": (
        "tests/e2e/test_exhaustion.py::test_invoked_suggestion_out_of_memory_shows_one_error"
    ),
}
"""Faults that tests of the default set hold."""


async def _try(fault: Fault) -> bool:
    name, expected = fault.__name__.replace("_", " "), (fault.__doc__ or "").strip()
    begun = time.monotonic()
    try:
        seen, held = await fault(), True
    except Exception as error:
        seen, held = f"{type(error).__name__}: {error}", False
    verdict = "held    " if held else "NOT HELD"
    print(f"{verdict} | {name} | {expected} | {seen} | {time.monotonic() - begun:.0f} s", flush=True)
    return held


async def _try_all(names: list[str]) -> int:
    tried = [fault for fault in TRIED if not names or fault.__name__ in names]
    broken = [fault.__name__ for fault in tried if not await _try(fault)]
    for name, test in () if names else TESTED.items():
        print(f"a test   | {name} | {test}")
    print(f"{len(tried) - len(broken)} of {len(tried)} held; not held: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(XDG_CACHE_HOME=f"{folder}/cache", XDG_CONFIG_HOME=f"{folder}/configuration")
        return asyncio.run(_try_all(options.names))


if __name__ == "__main__":
    sys.exit(main())
