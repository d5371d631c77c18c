"""The Explorer in Chromium: on a phone and on a desk, by the keyboard, without a key, with hostile texts."""

import os
from pathlib import Path

import httpx
import pytest

from tests.browser.page_checks import HOSTILE, fits, serious_findings, small_targets

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
DRAWN = "#slates[aria-busy=false]"
PRESSES = 60
"""More than there are stops for the Tab key before the slate ends."""


@pytest.fixture
def visit(guarded, shop):
    """Open the page in a window of a size, with a slate. query: the state in the address."""
    open_page, _ = guarded

    def visit(size, query="user=7", scheme="light"):
        page = open_page(size, scheme)
        page.goto(f"{shop.url}/?{query}")
        page.wait_for_selector(".items > li")
        page.wait_for_selector(DRAWN)
        return page

    return visit


def stored(shop, user):
    """The events that are stored of a user: type and item."""
    events = httpx.get(f"{shop.url}/users/{user}").json()["events"]
    return [(event["event_type"], event["item_id"]) for event in events]


def choose(page, place):
    """Choose the title at a place, and wait for the next slate."""
    with page.expect_response("**/explorer/slate"):
        page.locator("button.title").nth(place).click()
    page.wait_for_selector(DRAWN)


def press_until(page, selector):
    """Press Tab until an element that the selector matches has the focus."""
    for _ in range(PRESSES):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"The Tab key does not reach {selector}.")


def picture(page, name):
    """Keep a picture of the page where TANDEM_PICTURES names a folder."""
    if folder := os.environ.get("TANDEM_PICTURES"):
        page.screenshot(path=Path(folder) / f"explorer-{name}.png")


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["390", "1280"])
def test_an_event_changes_the_slate_and_each_item_has_reasons(visit, shop, size):
    """A title stores an event of the chosen type, and its row stays at the pointer; details have bars."""
    user = f"clicker-{size['width']}"
    page = visit(size, f"user={user}")
    assert "Nothing is stored" in page.locator("#history-state").text_content()
    page.locator("#type").select_option("purchase")
    item = page.locator(".items > li").nth(4)
    item.scroll_into_view_if_needed()
    chosen, top = item.get_attribute("data-item"), item.bounding_box()["y"]
    choose(page, 4)
    assert stored(shop, user) == [("purchase", chosen)]
    assert abs(page.locator(".items > li").nth(4).bounding_box()["y"] - top) <= 1
    assert page.locator(".chip.move").count() > 0
    page.wait_for_selector("#history li")
    assert page.locator("#history li").first.text_content().startswith("The ")
    assert "newest event" in page.locator(".freshness").text_content()
    picture(page, size["width"])
    page.locator("button.why").first.click()
    page.wait_for_selector("#similar li")
    assert page.locator("#reason .good").text_content() == "It is at place 1 of 10."
    assert page.locator("#reason .bars i").count() > 5
    assert fits(page)
    assert small_targets(page) == []


def test_the_keyboard_alone_stores_a_purchase_and_opens_the_details(visit, shop):
    """Tab, arrows, Enter, Space and Escape; the focus is visible and stays at its place."""
    page = visit(WIDE)
    press_until(page, "#user")
    page.keyboard.press("Control+A")
    page.keyboard.type("keyboard")
    press_until(page, "#type")
    page.keyboard.type("purchase")
    press_until(page, "#ask button")
    with page.expect_response("**/explorer/slate"):
        page.keyboard.press("Enter")
    page.wait_for_selector(DRAWN)
    for key, place in (("Enter", 1), ("Space", 2)):
        press_until(page, f".items > li:nth-child({place}) .title")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        with page.expect_response("**/explorer/slate"):
            page.keyboard.press(key)
        page.wait_for_selector(DRAWN)
        page.wait_for_function(f"document.activeElement.matches('.items > li:nth-child({place}) .title')")
    assert [kind for kind, _ in stored(shop, "keyboard")] == ["purchase", "purchase"]
    press_until(page, ".items > li:nth-child(2) .why")
    page.keyboard.press("Enter")
    page.wait_for_selector("#details:visible")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.matches('.items > li:nth-child(2) .why')")


def test_two_modes_stand_side_by_side_and_the_address_keeps_them(visit):
    """The fields of an address are those of the page that wrote it; a colleague sees the same two slates."""
    page = visit(WIDE)
    page.locator("#mode").select_option("realtime")
    page.wait_for_selector(DRAWN)
    with page.expect_response("**/explorer/slate"):
        page.locator("#compare").select_option("mode:batch")
    page.wait_for_selector(".slate:nth-child(2) .items li")
    first, second = page.locator(".slate").all()
    assert [each.get_attribute("aria-label") for each in (first, second)] == ["Mode realtime", "Mode batch"]
    assert "the ranker did not score them now" in second.text_content()
    assert first.bounding_box()["x"] + first.bounding_box()["width"] <= second.bounding_box()["x"]
    assert first.locator("ol.items").bounding_box()["y"] == second.locator("ol.items").bounding_box()["y"]
    other = visit(NARROW, page.url.partition("?")[2])
    assert [other.locator(field).input_value() for field in ("#user", "#mode", "#compare")] == [
        "7",
        "realtime",
        "mode:batch",
    ]
    assert other.locator(".slate").count() == 2
    assert fits(other)


def test_a_server_that_is_away_leaves_the_last_slate(visit, guarded):
    """It is grey and out of use until the server answers."""
    page = visit(WIDE)
    page.route("**/explorer/slate", lambda route: route.abort())
    page.locator("#ask button").click()
    page.get_by_text("Is it running? What is below is the last slate.").wait_for()
    assert page.locator("#slates[inert] .items > li").count() == 10
    page.unroute("**/explorer/slate")
    page.locator("#ask button").click()
    page.wait_for_selector("#slates:not([inert]) .items > li")
    guarded[1].clear()  # Chromium writes a line for the aborted request


def test_a_visitor_a_long_id_and_an_unknown_surface_have_plain_words(visit):
    """No part of the page is red; the blanks around an id are left out."""
    page = visit(WIDE, "user=7&surface=nope")
    assert page.locator("#unknown").text_content() == "The surface nope is not known."
    for text, user in (("  7 ", "7"), ("x" * 230, "x" * 230), ("", None)):
        with page.expect_request("**/explorer/slate") as sent:
            page.locator("#user").fill(text)
            page.locator("#user").press("Enter")
        assert sent.value.post_data_json.get("user_id") == user
        page.wait_for_selector(DRAWN)
        page.wait_for_timeout(300)  # longer than the pause after which users are searched
        assert page.locator(".error").count() == 0
    assert page.locator("#unknown").text_content() == ""
    assert page.locator("#history-state").text_content() == "A visitor without an id has no history."


def test_a_context_is_sent_with_the_request(visit):
    """The values are the dataset's; the address holds the choice."""
    page = visit(NARROW)
    with page.expect_request("**/explorer/slate") as sent:
        page.locator("[data-column=device]").select_option("mobile")
    assert sent.value.post_data_json["context"] == {"device": "mobile"}
    assert "context.device=mobile" in page.url


def test_an_item_is_found_and_the_page_says_why_the_slate_lacks_it(visit):
    """By a part of its title; a seen item and an item that no source proposed each have a sentence."""
    page = visit(WIDE)
    page.locator("#find-text").fill("COMEDY 1")
    page.wait_for_selector("#found li")
    shown = {row.get_attribute("data-item") for row in page.locator(".items > li").all()}
    found = page.locator("#found button").all_text_contents()  # The comedy 1 has the id comedy-1
    names = [name for name in found if name.removeprefix("The ").replace(" ", "-") not in shown]
    page.locator("#found button", has_text=names[0]).first.click()
    page.wait_for_selector("#reason .warn")
    assert page.locator("#details-title").text_content() == names[0]
    page.locator("#find-text").fill("no such title")
    page.get_by_text("No title and no id has this text.").wait_for()


def test_a_wrong_key_gets_a_sentence_and_the_right_key_the_slate(guarded, shop):
    """A key without the scope write is told so: titles then open the reasons."""
    open_page, faults = guarded
    page = open_page(NARROW)

    def keyed(route):
        if route.request.headers.get("authorization") != "Bearer tandem_right":
            route.fulfill(status=401, json={"error": {"code": "unauthenticated", "message": "Send a key."}})
        elif route.request.url.endswith("/choices"):
            route.fulfill(json=route.fetch().json() | {"scopes": ["read"]})
        else:
            route.continue_()

    page.route(f"{shop.url}/explorer/**", keyed)
    page.goto(shop.url)
    page.wait_for_selector("#key:visible")
    assert page.locator("#state").text_content() == "Enter a key above."
    page.locator("#key").fill("tandem_wrong")
    page.locator("#key").press("Enter")
    page.get_by_text("This key is not in force. Enter another.").wait_for()
    assert page.locator("#state").text_content() == ""
    page.locator("#key").fill("tandem_right")
    page.locator("#enter button").click()
    page.wait_for_selector(".items > li")
    faults.clear()  # Chromium writes a line for each refused request
    assert not page.locator("#enter").is_visible()
    page.get_by_text("This key has no scope write").wait_for()
    page.locator("button.title").first.click()
    page.wait_for_selector("#reason .good")
    assert "tandem" not in page.url.partition("?")[2]


def test_script_and_long_titles_are_text_that_fits_a_phone(guarded, shop):
    """In every part of the page: slates, details, similar items, history and search; and in the id of the user."""
    open_page, _ = guarded
    page = open_page(NARROW)
    title = (HOSTILE + "x" * 10_000)[:10_000]

    def retitled(value):
        if isinstance(value, dict):
            return {name: title if name == "title" else retitled(each) for name, each in value.items()}
        return [retitled(each) for each in value] if isinstance(value, list) else value

    for path in (f"{shop.url}/explorer/**", "**/similar", "**/explain"):
        page.route(path, lambda route: route.fulfill(json=retitled(route.fetch().json())))
    httpx.post(f"{shop.url}/events", json={"user_id": HOSTILE, "item_id": "drama-1"}).raise_for_status()
    page.goto(shop.url)
    page.wait_for_selector(".items > li")
    page.locator("#user").fill(HOSTILE)
    page.locator("#user").press("Enter")
    page.wait_for_selector("#history li")
    page.locator("#find-text").fill("drama")
    page.wait_for_selector("#found li")
    assert fits(page)
    choose(page, 0)
    page.locator("button.why").first.click()
    page.wait_for_selector("#similar li")
    assert fits(page)
    assert page.locator("main img, main script").count() == 0
    for part in (".items button.title", "#history button", "#found button", "#similar button"):
        assert page.locator(part).first.text_content() == title
        assert page.locator(part).first.bounding_box()["height"] < NARROW["height"] / 4
    assert page.locator("#user").input_value() == HOSTILE


def test_errors_are_sentences_in_their_part(guarded, shop):
    """A wrong user, and a server that does not answer; a button makes the slate again."""
    open_page, faults = guarded
    page = open_page(NARROW)
    page.goto(f"{shop.url}/?user={'x' * 300}")
    page.wait_for_selector("#state.error")
    assert page.locator("#state").text_content().startswith("user_id: ")
    assert page.locator("#history-state.error").count() == 1
    page.route("**/explorer/slate", lambda route: route.abort())
    page.locator("#user").fill("7")
    page.locator("#ask button").click()
    page.get_by_text("The server does not answer. Is it running?").wait_for()
    page.unroute("**/explorer/slate")
    page.locator("#ask button").click()
    page.wait_for_selector(".items > li")
    assert fits(page)
    faults.clear()  # Chromium writes a line for each refused request


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit, scheme):
    """In both schemes, with two slates, moves and the details of an item."""
    page = visit(WIDE, "user=axe&compare=mode:batch", scheme)
    page.locator("#type").select_option("purchase")  # the shop hides what a user has bought
    choose(page, 1)
    page.locator("details.left-out summary").first.click()
    assert serious_findings(page) == []
    page.locator("button.why").first.click()
    page.wait_for_selector("#similar li")
    assert serious_findings(page) == []
    picture(page, scheme)
