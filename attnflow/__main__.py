"""`python -m attnflow` is the command `attnflow`."""

import sys

from attnflow._interrupts import stop_at_once

stop_at_once()  # before the rest is imported, which takes a moment

from attnflow.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
