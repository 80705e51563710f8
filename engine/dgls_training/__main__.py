"""The entry of `python -m dgls_training`."""

from __future__ import annotations

import os


def main() -> None:
    # torch's idle threads spin by default. Where other programs use the cores, a step then takes many times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from dgls_training.commands import app

    app()


if __name__ == "__main__":
    main()
