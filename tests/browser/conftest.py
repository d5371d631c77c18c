"""Chromium, driven by playwright, and a shop for it; the tests skip where Chromium is absent.

Chromium is a package of the system: `apt-get install chromium`. `make test` and `make browser` do that for root on
Debian.
"""

import shutil

import pandas as pd
import pytest
from playwright.sync_api import sync_playwright

from recsys.store import RedisGenerationStore
from tests.sample_data import tiny
from tests.servers.deployment import Deployment
from tests.servers.store_server import StoreServer
from training.data import dataset
from training.data.interaction_log import encode
from training.export import Origin, export
from training.recipe import train

TYPES = ["view", "cart", "purchase"]


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
def shop(browser, tmp_path_factory):
    """A deployment whose log has views, carts and purchases; after `browser`, which may skip."""
    home = tmp_path_factory.mktemp("shop")
    folder = tiny.write(home / "data")
    log = pd.read_csv(folder / "interactions.csv")
    log["what"] = [TYPES[0 if row % 2 else 1 if row % 6 else 2] for row in range(len(log))]
    log.to_csv(folder / "interactions.csv", index=False)
    toml = folder / "dataset.toml"
    toml.write_text(toml.read_text().replace("[interactions]\n", '[interactions]\nevent_type = "what"\n'))
    encoded = encode(dataset.read(folder))
    made = export(home / "generations", encoded, train(encoded, tiny.CONFIG), tiny.CONFIG, Origin("shop"))
    server = StoreServer(home / "store").start()
    tiny.publish(made, RedisGenerationStore(server.url))
    with Deployment(home, home / "service.log", REDIS_URL=server.url, TANDEM_TOPOLOGY="inline") as running:
        yield running
    server.stop()
