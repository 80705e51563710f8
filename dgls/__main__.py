"""`python -P -m dgls`, the same as the console script; -P keeps a workspace's own `dgls` from being imported."""

from dgls.cli import main

if __name__ == "__main__":
    main()
