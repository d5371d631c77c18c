"""End a command with one sentence on stderr, in place of a traceback, when the program raises one of its own errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from recsys.errors import TandemError


@contextmanager
def exit_with_sentence() -> Iterator[None]:
    """End the process with exit code 1 and the sentence of an error of Tandem."""
    try:
        yield
    except TandemError as error:
        sys.exit(f"tandem: {error}")
