"""Remove deleted users from the text files of trainings: bad rows in quarantine, and reports for people."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from recsys.errors import LocationError
from recsys.files.atomic_write import atomic_write
from recsys.user_digest import digest_of
from training.read.cells import PLAIN_INTEGER
from training.read.locations import Location, reaching

SLATE = re.compile(r'<div class="wide"><table[^>]*>\s*<caption><b>User (.*?)</b>.*?</table></div>', re.DOTALL)
"""The slate of a user in a report, and the user."""

CELL = re.compile(r"(row [\d,]+ )&#39;(.*?)&#39;(?= and row |\.)")
"""A cell of the log that a check of the gate names. The id in it may have quotes too."""

DELETED = "deleted"

logger = logging.getLogger("tandem")


def forget_in_text(file: Path, digests: Collection[bytes]) -> int:
    """Remove users from a report or from a CSV file of the quarantine; the number of places or rows.

    0 if a training has removed the file meanwhile. A warning is logged for a file that can't be parsed.
    """
    try:
        with reaching(Location(str(file)), "written"):
            return (forget_in_report if file.suffix == ".html" else forget_in_quarantine)(file, digests)
    except LocationError:
        if file.exists():
            raise
    except ValueError:  # also of pandas, for an empty file and for lines of different lengths
        logger.warning("%s can't be read, so deleted users may be left in it. Delete the file.", file)
    return 0


def forget_in_quarantine(file: Path, digests: Collection[bytes]) -> int:
    """Remove the rows of users from a CSV file of the quarantine; the number of rows."""
    rows = pd.read_csv(file, dtype="str", keep_default_na=False)
    if "user_id" not in rows:
        return 0
    gone = rows["user_id"].map(lambda cell: any(digest_of(user) in digests for user in _ids_of(cell))).astype(bool)
    if gone.any():
        with atomic_write(file, durable=True) as draft:
            rows[~gone].to_csv(draft, index=False)
    return int(gone.sum())


def _ids_of(cell: str) -> tuple[str, str]:
    """The ids that a cell may stand for: as it is written, and 7 for ` 7` and for 7.0, as pandas writes floats."""
    text = cell.strip()
    return cell, text.removesuffix(".0") if re.fullmatch(rf"(?:{PLAIN_INTEGER})\.0", text) else text


def forget_in_report(file: Path, digests: Collection[bytes]) -> int:
    """Remove the slates of users from a report, and their ids from the sentences of checks; the number of places."""

    def is_deleted(text: str) -> bool:
        return digest_of(html.unescape(text)) in digests

    page, count = file.read_text(encoding="utf-8"), 0

    def slate(found: re.Match[str]) -> str:
        nonlocal count
        count += is_deleted(found[1])
        return f"<p>{DELETED}</p>" if is_deleted(found[1]) else found[0]

    def cell(found: re.Match[str]) -> str:
        nonlocal count
        count += is_deleted(found[2])
        return f"{found[1]}({DELETED})" if is_deleted(found[2]) else found[0]

    page = CELL.sub(cell, SLATE.sub(slate, page))
    if count:
        with atomic_write(file, durable=True) as draft:
            draft.write_text(page, encoding="utf-8")
    return count
