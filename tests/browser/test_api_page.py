"""The page /docs in Chromium, cut off from every other host."""

import json

import pytest

NARROW = {"width": 390, "height": 844}


@pytest.fixture
def visit(window, deployment):
    """Open /docs; requests to other hosts fail the test."""
    open_page, faults = window

    def gate(route):
        if route.request.url.startswith((deployment.url, "data:")):
            route.continue_()
        else:
            faults.append(route.request.url)
            route.abort()

    def keyed(route, key):
        if route.request.headers.get("authorization") == f"Bearer {key}":
            route.continue_()
        else:
            route.fulfill(status=401, json={"error": {"message": "Send a key."}})

    def visit(key=""):
        page = open_page(NARROW)
        page.route("**/*", gate)
        if key:
            page.route("**/openapi.json", lambda route: keyed(route, key))
        page.goto(f"{deployment.url}/docs")
        page.wait_for_selector("#key:visible" if key else ".opblock-summary")
        return page

    return visit


def test_a_reader_finds_recommend_and_tries_it(visit, deployment):
    """Every operation is listed; POST /recommend opens, and its example returns a slate; nothing scrolls sideways."""
    page = visit()
    paths = json.loads(page.request.get(f"{deployment.url}/openapi.json").text())["paths"]
    assert page.locator(".opblock-summary").count() == sum(len(methods) for methods in paths.values())
    recommend = page.locator("#operations-slates-recommend")
    recommend.locator(".opblock-summary-control").click()
    assert '"user_id": "you"' in recommend.locator(".body-param__text").input_value()
    with page.expect_response("**/recommend") as answered:
        recommend.locator(".execute").click()
    assert len(answered.value.json()["items"]) == 5
    shown = recommend.locator(".live-responses-table .highlight-code").first
    shown.wait_for()
    assert answered.value.json()["generation"] in shown.text_content()
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


def test_behind_keys_the_page_has_a_field_for_the_key(visit):
    """As on the admin port: a wrong key gets the refusal, the right one the operations."""
    page = visit("tandem_right")
    page.locator("#key").fill("tandem_wrong")
    page.locator("#key").press("Enter")
    page.get_by_text("Send a key.").wait_for()
    page.locator("#key").fill("tandem_right")
    page.locator("#enter button").click()
    page.wait_for_selector(".opblock-summary")
    assert not page.locator("#enter").is_visible()
