"""Checks of a page in Chromium: its width, the size of its targets, and the findings of axe-core."""

from axe_playwright_python.sync_playwright import Axe

TARGET_PIXELS = 44
"""The least height and width of what a finger aims at; links within lists may be narrower."""

HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>"
"""A text that is markup where a page takes it for more than text."""


def fits(page):
    """Whether nothing scrolls sideways."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def small_targets(page):
    """The buttons and fields that are smaller than a finger."""
    targets = page.locator("button:visible, input:visible, select:visible").all()
    assert targets
    boxes = [(target.text_content(), target.bounding_box()) for target in targets]
    return [(text, box) for text, box in boxes if box["height"] < TARGET_PIXELS or box["width"] < TARGET_PIXELS]


def serious_findings(page):
    """What axe-core finds of the impact serious or critical: the rule, and the first element."""
    found = Axe().run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")]
