"""Chromium, driven by playwright, and a shop for it; the tests skip where Chromium is absent.

Chromium is a package of the system: `apt-get install chromium`. `make test` and `make browser` do that for root on
Debian.
"""

import shutil

import pytest
from playwright.sync_api import sync_playwright

from recsys.store import RedisGenerationStore
from tests.sample_data import tiny
from tests.servers.deployment import Deployment
from tests.servers.store_server import StoreServer


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on PATH: apt-get install chromium")
    with sync_playwright() as running:
        opened = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])  # root has no sandbox
        yield opened
        opened.close()


@pytest.fixture
def window(browser):
    """A function that opens a page of a size, and a list: each fault in it fails the test.

    Errors of the page and violations of its policy are faults. scheme: of the system's colours.
    """
    opened, faults = [], []

    def open_page(size, scheme="light"):
        page = browser.new_page(viewport=size, color_scheme=scheme)
        opened.append(page)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if "Security Policy" in line.text else None)
        return page

    yield open_page, faults
    for page in opened:
        page.close()
    assert not faults


@pytest.fixture
def guarded(window, shop):
    """As `window`, and a line in the console, a dialog or a request to another host is a fault too.

    A page that is to be refused writes a line: clear the list of faults then.
    """
    open_page, faults = window

    def open_guarded(size, scheme="light"):
        page = open_page(size, scheme)
        page.on("console", lambda line: faults.append(line.text))
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: None if request.url.startswith(shop.url) else faults.append(request.url))
        return page

    return open_guarded, faults


@pytest.fixture(scope="session")
def shop(browser, tiny_shop, tmp_path_factory):
    """A deployment whose log has views, purchases and refunds; after `browser`, which may skip."""
    home = tmp_path_factory.mktemp("shop-pages")
    server = StoreServer(home / "store").start()
    tiny.publish(tiny_shop[0], RedisGenerationStore(server.url))
    with Deployment(home, home / "service.log", REDIS_URL=server.url, TANDEM_TOPOLOGY="inline") as running:
        yield running
    server.stop()
