"""The page of `python -m training advise` in Chromium: on a phone and on a desk."""

import json
import os
from pathlib import Path

import pytest

from tests.sample_data.planted_curves import FLAT, TURNS, measurement, profile
from training.__main__ import main
from training.advisor.advice_page.render import shown_figure

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
TOML = '[workload]\nusers = 50_000\n[surfaces.home]\nshare = 0.7\n[surfaces.mail]\nanswers = { latency = "offline" }\n'


@pytest.fixture(scope="module")
def advice(tmp_path_factory):
    """The figures of --json, and the address of the page."""
    folder = tmp_path_factory.mktemp("advice")
    for name, content in (("curves", measurement(TURNS, FLAT)), ("profile", profile())):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "options.toml").write_text(TOML)
    files = {
        "curves": "curves.json",
        "profile": "profile.json",
        "options": "options.toml",
        "json": "out.json",
        "page": "page.html",
    }
    options = [part for name, file in files.items() for part in (f"--{name}", str(folder / file))]
    assert main(["advise", *options]) == 0
    return json.loads((folder / "out.json").read_text()), (folder / "page.html").as_uri()


@pytest.fixture
def visit(browser, advice):
    """Open the page in a window of a size; errors of the page and of its policy fail the test."""
    opened, faults = [], []

    def visit(size, scheme="light"):
        page = browser.new_page(viewport=size, color_scheme=scheme)
        opened.append(page)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text))
        page.on("request", lambda request: None if request.url == advice[1] else faults.append(request.url[:80]))
        page.goto(advice[1])
        return page

    yield visit
    for page in opened:
        page.close()
    assert [fault for fault in faults if not fault.startswith("data:")] == []


def cells(page, surface):
    """The figures of a surface as the page shows them, by mode and name."""
    rows = page.locator(f"[data-costs={surface}] tr[data-mode]").all()
    return {
        (row.get_attribute("data-mode"), cell.get_attribute("data-figure")): cell.text_content()
        for row in rows
        for cell in row.locator("td").all()
    }


@pytest.mark.parametrize(("size", "scheme"), [(NARROW, "light"), (WIDE, "dark")], ids=["390", "1280"])
def test_nothing_scrolls_sideways(visit, size, scheme):
    """On a phone and on a desk; a picture of each stays where TANDEM_PICTURES names a folder."""
    page = visit(size, scheme)
    if folder := os.environ.get("TANDEM_PICTURES"):
        page.screenshot(path=Path(folder) / f"advice-{size['width']}-{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_the_figures_are_those_of_the_json(visit, advice):
    """Every cell of the costs, and the mode of each surface."""
    page, (figures, _) = visit(WIDE), advice
    for name, surface in figures["surfaces"].items():
        shown = cells(page, name)
        assert len(shown) == 5 * len(surface["judgements"])
        for (mode, figure), text in shown.items():
            assert text == shown_figure(surface["judgements"][mode]["cost"][figure])
        assert page.locator(f"[data-surface={name}]").text_content() == surface["mode"]
        assert page.locator(f"[data-costs={name}] tr.chosen").get_attribute("data-mode") == surface["mode"]
