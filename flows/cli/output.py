"""How a verb tells what it did: sentences, or JSON for programs."""

from __future__ import annotations

import json
import sys
from typing import Any

from recsys.errors import GateRefused, TandemError


def report(error: TandemError, *, as_json: bool) -> None:
    """One sentence on stderr, or JSON on stdout; of a refusal each failed check, and where its report is."""
    told: dict[str, Any] = {"code": type(error).__name__, "message": str(error)}
    if isinstance(error, GateRefused):
        told |= {"failed": error.failed, "report": error.report and str(error.report)}
    if as_json:
        emit({"error": told})
        return
    print(str(error), file=sys.stderr)
    if told.get("report"):
        print(f"Report: {told['report']}", file=sys.stderr)


def emit(value: dict[str, Any]) -> None:
    """Print JSON for programs."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def emit_line(value: dict[str, Any]) -> None:
    """Print JSON on one line, at once, for programs that read on."""
    print(json.dumps(value, ensure_ascii=False, default=str), flush=True)
