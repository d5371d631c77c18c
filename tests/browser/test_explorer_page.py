"""The Explorer in Chromium: on a phone, by the keyboard, with the event types of the dataset."""

import os
from pathlib import Path

import httpx
import pytest

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
TARGET_PIXELS = 44
TYPES = ["view", "cart", "purchase"]
DRAWN = "#slate[aria-busy=false]"
PRESSES = 40
"""More than there are stops for the Tab key."""


@pytest.fixture
def visit(window, shop):
    """Open the page in a window of a size."""
    open_page, _ = window

    def visit(size, status=200):
        page = open_page(size)
        if status != 200:
            page.route("**/status", lambda route: route.fulfill(status=status, json={"error": {"message": "No."}}))
        page.goto(shop.url)
        page.wait_for_selector("#slate button")
        page.wait_for_selector(f"#type option:nth-child({3 if status == 200 else 1})", state="attached")
        return page

    return visit


def stored(shop, user):
    """The events that are stored of a user: type and item."""
    events = httpx.get(f"{shop.url}/users/{user}").json()["events"]
    return [(event["event_type"], event["item_id"]) for event in events]


def press_until(page, selector):
    """Press Tab until an element that the selector matches has the focus."""
    for _ in range(PRESSES):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"The Tab key does not reach {selector}.")


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["390", "1280"])
def test_nothing_scrolls_sideways_and_every_target_is_large_enough(visit, shop, size):
    """On a phone and on a desk; a picture of each stays where TANDEM_PICTURES names a folder."""
    page = visit(size)
    page.locator("#type").select_option("cart")
    with page.expect_response("**/recommend"):
        page.locator("#slate button").nth(2).click()
    page.wait_for_selector(DRAWN)
    if folder := os.environ.get("TANDEM_PICTURES"):
        page.screenshot(path=Path(folder) / f"explorer-{size['width']}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    boxes = [target.bounding_box() for target in page.locator("button:visible, input:visible, select:visible").all()]
    assert len(boxes) == 3 + 15
    assert all(box["height"] >= TARGET_PIXELS and box["width"] >= TARGET_PIXELS for box in boxes)


def test_a_key_and_long_words_fit_a_phone_too(visit):
    """The form for a key, a user with a long id, and an error."""
    page = visit(NARROW)
    page.evaluate("document.querySelector('#enter').hidden = false")
    page.locator("#user").fill("x" * 300)
    page.locator("#user").press("Enter")
    page.wait_for_selector("#state.error")
    assert "user_id" in page.locator("#state").text_content()
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    assert page.locator("#enter button").bounding_box()["height"] >= TARGET_PIXELS


def test_the_keyboard_alone_stores_a_purchase(visit, shop):
    """Tab, arrows, Enter and Space: a user, an event type, two items; the focus is visible and stays at its place."""
    page = visit(WIDE)
    press_until(page, "#user")
    page.keyboard.press("Control+A")
    page.keyboard.type("keyboard")
    press_until(page, "#type")
    page.keyboard.type("purchase")
    assert page.locator("#type").input_value() == "purchase"
    press_until(page, "#ask button")
    with page.expect_response("**/recommend"):
        page.keyboard.press("Enter")
    page.wait_for_selector(DRAWN)
    for key, place in (("Enter", 1), ("Space", 2)):
        press_until(page, f"#slate li:nth-child({place}) button")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        with page.expect_response("**/recommend"):
            page.keyboard.press(key)
        page.wait_for_selector(DRAWN)
        assert page.evaluate(
            f"document.activeElement.closest('li') === document.querySelector('li:nth-child({place})')"
        )
    events = stored(shop, "keyboard")
    assert [kind for kind, _ in events] == ["purchase", "purchase"]
    assert len(set(events)) == 2


def test_the_types_are_the_datasets_and_the_state_is_announced(visit, shop):
    """The types of /status, the most frequent first; a new slate is announced."""
    page = visit(WIDE)
    shown = page.locator("#type option").all_text_contents()
    assert shown == httpx.get(f"{shop.url}/status").json()["event_types"] == TYPES
    assert page.locator("#state").get_attribute("role") == "status"
    assert page.locator("#state").text_content().startswith("15 items in ")
    assert page.locator("#slate button").first.get_attribute("aria-label").startswith("1. The ")


def test_without_the_types_events_have_the_default_type(visit, shop):
    """Behind keys, /status needs the scope admin; a key without it can still send events."""
    page = visit(WIDE, status=403)
    page.locator("#user").fill("plain")
    with page.expect_response("**/recommend"):
        page.locator("#slate button").first.click()
    assert [kind for kind, _ in stored(shop, "plain")] == ["click"]
