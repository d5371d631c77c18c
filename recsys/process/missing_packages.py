"""What a command says in a Python without Tandem's packages. Imports nothing that has to be installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from recsys.process.interruption import stopped

_OURS = {"recsys", "service", "training", "flows"}

COMMAND_LINE_WRONG = 2
"""The exit code of a command that was called the wrong way, as argparse has it."""


@contextmanager
def packages() -> Iterator[None]:
    """Import what has to be installed; where it is not, one sentence on stderr, and the process ends with 2.

    Ctrl-C ends it, too, and who reads no further, as `stopped` has it.
    """
    try:
        with stopped():
            yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OURS:
            raise
        sys.stderr.write(
            f"tandem: {sys.executable} has no {error.name}. Run `source .venv/bin/activate` in Tandem's folder first "
            "(`make .venv/installed` makes it), and try again.\n"
        )
        sys.exit(COMMAND_LINE_WRONG)
