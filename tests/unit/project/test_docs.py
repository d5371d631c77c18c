"""The documents name files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = "clients|data|deploy|docs|flows|loadtests|recsys|service|tests|training"
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "clients/python/README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page):
    """A path in backticks, or the target of a link, is a file or a folder of the repository."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    named = [ROOT / path for path in re.findall(rf"`((?:{FOLDERS})/[\w./-]*)", text)]
    linked = [page.parent / path for path in re.findall(r"\]\(([^)#:]+)[)#]", text)]
    assert [str(path) for path in named + linked if not path.exists()] == []
