"""Remove deleted users from the text files of trainings: bad rows in quarantine, and reports for people."""

from __future__ import annotations

import html
import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from recsys.files.atomic_write import atomic_write
from recsys.user_digest import digest_of

SLATE = re.compile(r'<div class="wide"><table[^>]*>\s*<caption><b>User (.*?)</b>.*?</table></div>', re.DOTALL)
"""The slate of a user in a report, and the user."""

CELL = re.compile(r"(row [\d,]+ )&#39;(.*?)&#39;(?= and row |\.)")
"""A cell of the log that a check of the gate names. The id in it may have quotes too."""

DELETED = "deleted"


def forget_in_quarantine(file: Path, digests: Collection[bytes]) -> int:
    """Remove the rows of users from a CSV file of the quarantine; the number of rows."""
    rows = pd.read_csv(file, dtype="str", keep_default_na=False)
    if "user_id" not in rows:
        return 0
    gone = rows["user_id"].map(lambda user: digest_of(user) in digests).astype(bool)
    if gone.any():
        with atomic_write(file, durable=True) as draft:
            rows[~gone].to_csv(draft, index=False)
    return int(gone.sum())


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
