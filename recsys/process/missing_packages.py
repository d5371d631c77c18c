"""End a command with one sentence, which names the fix, when a required Python package is missing.

It imports the standard library only, because any other package may be the missing one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from recsys.process.interruption import clean_exit

_OWN_PACKAGES = {"recsys", "service", "training", "flows"}

WRONG_CALL = 2
"""The exit code of a command that was called the wrong way, as in argparse."""


@contextmanager
def required_packages() -> Iterator[None]:
    """End the process with one sentence and exit code 2 where an installed package is missing.

    Ctrl-C and a closed pipe end the process as in `clean_exit`.
    """
    try:
        with clean_exit():
            yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OWN_PACKAGES:
            raise
        sys.stderr.write(
            f"tandem: {sys.executable} has no {error.name}. Run `source .venv/bin/activate` in Tandem's folder first "
            "(`make .venv/installed` makes it), and try again.\n"
        )
        sys.exit(WRONG_CALL)
