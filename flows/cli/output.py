"""Print the result or the error of a `python -m flows` command: sentences for people, or JSON for programs."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from recsys.errors import GateRefused, TandemError


def print_error(error: TandemError, *, as_json: bool) -> None:
    """Print an error as one sentence on stderr, or as JSON on stdout; of a refusal by the gate also its details."""
    details: dict[str, Any] = {"code": type(error).__name__, "message": str(error)}
    if isinstance(error, GateRefused):
        details |= {"failed": error.failed, "report": error.report and str(error.report)}
    if as_json:
        print_json({"error": details})
        return
    print(str(error), file=sys.stderr)
    if details.get("report"):
        print(f"Report: {details['report']}", file=sys.stderr)


def print_json(value: dict[str, Any], *, one_line: bool = False) -> None:
    """Print JSON; on one line for programs that read results as they come."""
    print(json.dumps(value, ensure_ascii=False, indent=None if one_line else 2, default=str), flush=True)


def print_result(options: argparse.Namespace, value: dict[str, Any], *lines: str | Table) -> None:
    """Print a result: as JSON with `--json`, otherwise as lines and tables."""
    if options.json:
        print_json(value)
        return
    for line in lines:
        if isinstance(line, Table):
            Console().print(line)
        else:
            print(line)
