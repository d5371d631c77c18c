"""How a command of this package ends: with a report, or with a sentence that says why there is none."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from loadtests.report import Report, Table, write
from recsys.errors import TandemError

BROKEN = 1
"""Exit code where a line does not hold, as the locustfile has it."""


@contextmanager
def sentences() -> Iterator[None]:
    """End the process where what is done inside fails, with a sentence; where it is interrupted, with none."""
    try:
        yield
    except TandemError as error:
        sys.exit(f"tandem: {error}")
    except (httpx.HTTPError, psutil.NoSuchProcess) as error:
        sys.exit(f"tandem: the peer no longer answers ({error})")
    except KeyboardInterrupt:
        sys.exit(130)


def tell(report: Report, told: Mapping[str, Any], path: Path) -> None:
    """Write the figures to `path` and the report beside them, and print the tables."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told), encoding="utf-8")
    print("\n" + "\n\n".join(part.text() for part in report.parts if isinstance(part, Table)))
    print(f"\n{report.sentence}\nThe report: {write(report, path)}")
