"""The page /operations in Chromium: what it shows, promotion and rollback over a real Prefect server, a wrong key."""

import os
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

# Prefect reads its home once, at its import.
os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="tandem-prefect-"))

from recsys.experiments import changes
from recsys.experiments.definition import parse
from recsys.store import RedisGenerationStore
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.redis.run_store import RedisRunStore
from recsys.store.run_record import COMPLETED, FAILED, RunFigures, RunRecord
from service.operations.shared_reader import KEPT_SECONDS
from tests.browser.page_checks import HOSTILE, fits, serious_findings, small_targets
from tests.fakes.issued_keys import IssuedKeys
from tests.sample_data import tiny
from tests.sample_data.altered_generation import altered
from tests.servers.deployment import Deployment, free_port, wait_for
from tests.servers.store_server import StoreServer

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
REFRESH_MS = 15_000
REQUESTS = 20
OLDER, BEFORE = "g-older", "g-before"
"""Generations beside the live one; the second was live before."""

NOT_MADE = (
    "Not made yet: lists of batch (python -m flows batch), lists of item-lists (python -m flows item-lists), "
    "lists of refresh (python -m flows refresh), trending items (python -m flows refresh)."
)

LONG = HOSTILE + 10_000 * "x"


class World:
    """A deployment with keys and three generations, whose Prefect server has the deployments of both flows."""

    def __init__(self, home, redis_url, prefect_url, folder):
        self.home, self.redis_url, self.prefect_url = home, redis_url, prefect_url
        self.generations = RedisGenerationStore(redis_url)
        for name in (OLDER, BEFORE):
            tiny.publish(altered(folder, home / name), self.generations)
        self.live = tiny.publish(folder, self.generations)
        self.keys = IssuedKeys(home / "keys.toml")
        self.operator, self.reader = self.keys.add("operator", "admin"), self.keys.add("reader", "read")
        self.port = free_port()
        self.page = f"http://127.0.0.1:{self.port}/operations"

    def send(self, method, url, key, **more):
        return httpx.request(method, url, headers={"authorization": f"Bearer {key}"}, timeout=30, **more)

    def variables(self):
        return {
            "REDIS_URL": self.redis_url,
            "TANDEM_TOPOLOGY": "inline",
            "TANDEM_KEYS": str(self.keys.path),
            "TANDEM_ADMIN_PORT": str(self.port),
            "PREFECT_API_URL": self.prefect_url,
        }

    def leave_runs(self):
        """Records of runs, an experiment with a halted arm, and drift; names that others choose hold markup."""
        now, runs = time.time(), RedisRunStore(self.redis_url)
        drift = {"training/quiet": (0.01, 0.9, 0), f"week/{HOSTILE}": (0.4, 1e-6, 1)}
        drift |= {f"training/feature.{name}": (0.3, 1e-6, 1) for name in "abcd"}
        for flow, deployment, state, figures in (
            ("train", HOSTILE, FAILED, RunFigures()),
            ("drift", "often", COMPLETED, RunFigures(drift=drift, skew={"feature.age": 0.02, "feature.gap": 0.0})),
            ("refresh", "often", COMPLETED, RunFigures(rows_out=1_234)),
        ):
            runs.write(RunRecord(flow, "one", deployment, now - 5_000, 60.0, state, now - 4_000, figures))
        runs.close()
        experiments = RedisExperimentStore(self.redis_url)
        definition = parse('name = "variety"\n[arms.varied]\nshare = 0.5\ncandidates = 20\n', "variety.toml")
        experiments.change(lambda document: changes.create(document, definition, now))
        experiments.change(lambda document: changes.start(document, "variety", now))
        experiments.change(lambda document: changes.halt(document, "variety", "varied", LONG, now))
        experiments.close()
        time.sleep(KEPT_SECONDS)  # pages share a read for so long


@pytest.fixture(scope="module")
def world(browser, tiny_world, prefect_url, tmp_path_factory):
    """The deployment; after `browser`, which may skip."""
    home = tmp_path_factory.mktemp("operations")
    server = StoreServer(home / "store").start()
    made = World(home, server.url, prefect_url, tiny_world[0])
    with Deployment(home, home / "log", **made.variables()) as running:
        made.deployment = running
        yield made
    server.stop()


@pytest.fixture
def visit(window, world):
    """Open the page with a key; a line in the console, a dialog and a request to another host fail the test."""
    open_page, faults = window

    def visit(size=WIDE, scheme="light", key=None, ready="#problems li"):
        page = open_page(size)
        page.emulate_media(color_scheme=scheme)
        page.on("console", lambda line: faults.append(line.text))
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        page.on(
            "request",
            lambda each: (
                None if each.url.startswith(world.page.removesuffix("operations")) else faults.append(each.url)
            ),
        )
        page.clock.install()
        page.add_init_script(f"sessionStorage.setItem('tandem-key', {key or world.operator!r})")
        page.goto(world.page)
        page.wait_for_selector(ready)
        return page

    return visit, faults


@contextmanager
def working(world):
    """Run what is started on the Prefect server, in a thread, as a worker does."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateName
    from prefect.flow_engine import run_flow
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.orchestration import TAG
    from flows.promotion import promote, rollback

    ended = threading.Event()
    scheduled = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Scheduled"])))

    def work():
        with temporary_settings({PREFECT_API_URL: world.prefect_url}), get_client(sync_client=True) as client:
            ours = {flow.to_deployment("by-hand", tags=[TAG]).apply(): flow for flow in (promote, rollback)}
            ready.set()
            while not ended.wait(0.1):
                for run in client.read_flow_runs(flow_run_filter=scheduled):
                    if flow := ours.get(run.deployment_id):
                        run_flow(flow, flow_run=run, parameters=run.parameters, return_type="state")

    ready, worker = threading.Event(), threading.Thread(target=work)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REDIS_URL", world.redis_url)
            worker.start()
            assert ready.wait(60)
            yield
    finally:
        ended.set()
        worker.join(60)


def refresh(page):
    """Let the time of a refresh pass in the page, and wait for the answer."""
    with page.expect_response("**/operations/overview"):
        page.clock.fast_forward(REFRESH_MS)
    page.wait_for_timeout(50)  # it draws within a task


def in_view(page, selector):
    """Whether the window shows the whole element."""
    box = page.locator(selector).bounding_box()
    return box["y"] >= 0 and box["y"] + box["height"] <= page.viewport_size["height"]


def followed(page, what, end):
    """Wait until a run has ended in a state, and return the page's words about it."""
    begins = "begins => (text => text.startsWith(begins) && text)(document.querySelector('#action').textContent)"
    words = page.wait_for_function(begins, arg=f"{what}: {end}.").json_value()
    page.wait_for_function("!document.querySelector('#generations button').disabled")
    return words


def test_what_is_empty_names_its_command_and_what_is_there_is_text(visit, world):
    """First the commands; then flows, an experiment and drift with markup in names, on a phone and on a desk."""
    open_page, _ = visit
    page = open_page(NARROW)
    assert page.locator("#experiments-empty code").text_content().startswith("python -m flows experiment create")
    assert page.locator("#drift-empty code").text_content() == "python -m flows drift"
    assert page.locator("#flows-empty code").text_content().startswith("python -m flows schedule")
    assert world.live in page.locator("#live").text_content()
    assert page.locator("#problems li").all_text_contents() == [NOT_MADE]
    assert page.locator("#problems li.plain").count() == 1
    world.leave_runs()
    refresh(page)
    assert fits(page)
    assert small_targets(page) == []
    assert page.locator("#drift tr").first.locator("td").all_text_contents()[:3] == [HOSTILE, "week", "0.400"]
    assert page.locator("#drift tr").first.locator("td").last.text_content() == "alarm"
    assert page.locator("#flows tr").first.locator("td").all_text_contents()[:2] == [f"train/{HOSTILE}", "failed"]
    problems = page.locator("#problems li").all_text_contents()
    assert "The last run of flow train failed." in problems
    assert page.locator("#flows tr").first.locator("td").last.text_content() == "last run failed"
    assert any(each.startswith(f"{HOSTILE} has drifted from the week before") for each in problems)
    shown = "feature.a, feature.b, feature.c, …"
    assert f"4 columns have drifted from the training: {shown} (see Drift)." in problems
    assert any(each.startswith(f"Arm varied of experiment variety is halted: {HOSTILE}") for each in problems)
    assert "2 % of the logged values of feature.age differ from recomputed ones." in problems
    assert page.locator("#content img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit, world, scheme):
    """With charts, tables and the dialog; a picture stays where TANDEM_PICTURES names a folder."""
    open_page, _ = visit
    page = open_page(WIDE, scheme)
    page.wait_for_selector("#times path", state="attached")
    assert fits(page)
    assert serious_findings(page) == []
    if folder := os.environ.get("TANDEM_PICTURES"):
        page.screenshot(path=Path(folder) / f"operations-{scheme}.png", full_page=True)
    page.locator("#generations button").first.click()
    assert serious_findings(page) == []


def test_the_charts_have_every_request_and_their_values_by_keyboard(visit, world):
    """The readings have the requests; an arrow key reads a point, which stays at a refresh; a table has all values."""
    open_page, _ = visit
    for _ in range(REQUESTS):
        world.send("POST", f"{world.deployment.url}/recommend", world.reader, json={"user_id": 1}).raise_for_status()

    def counted():
        minutes = world.send("GET", f"{world.page}/overview", world.operator).json()["hour"]["minutes"]
        return sum(each["rate"] * each["seconds"] for each in minutes) > REQUESTS - 0.5

    wait_for(counted, 60, 0.5)
    page = open_page()
    chart = page.locator("#times svg")
    assert "p99" in chart.get_attribute("aria-label")
    chart.focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#times .cursor").count() == 1
    refresh(page)
    assert page.locator("#times .cursor").count() == 1
    page.locator("#times summary").click()
    assert " ms" in page.locator("#times tbody").text_content()
    assert page.locator("#verbs tr").first.locator("td").all_text_contents()[0] == "/recommend"


def test_a_person_promotes_and_rolls_back(visit, world):
    """By the keyboard, with the typed id; the page follows each run to its end, also one that Prefect fails."""
    open_page, _ = visit
    page = open_page()
    page.locator(f"#promote-{OLDER}").focus()
    refresh(page)
    assert page.evaluate("document.activeElement.id") == f"promote-{OLDER}"  # a refresh moves no focus
    with working(world):
        page.keyboard.press("Enter")
        page.keyboard.type("g-other")
        assert page.locator("#confirm-go").is_disabled()
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") == f"promote-{OLDER}"
        page.keyboard.press("Enter")
        page.keyboard.type(OLDER)
        page.keyboard.press("Enter")
        assert f"Live: {OLDER}. Before: {world.live}" in followed(page, f"promote to {OLDER}", "Completed")
        assert world.generations.aliases() == (OLDER, world.live)
        assert in_view(page, "#generations-heading ~ #action[role=status]")
        page.locator(f"#rollback-{world.live}").press("Enter")
        assert page.evaluate("document.activeElement.id") == "confirm-cancel"
        page.locator("#confirm-go").click()
        assert f"Live: {world.live}. Before: {OLDER}" in followed(page, f"rollback to {world.live}", "Completed")
        page.locator(f"#rollback-{OLDER}").click()
        world.generations.promote(BEFORE)  # by another person
        page.locator("#confirm-go").click()
        assert f"{OLDER} is not what was live before {BEFORE}" in followed(page, f"rollback to {OLDER}", "Failed")
    assert world.generations.aliases() == (BEFORE, world.live)


def test_a_wrong_key_shows_nothing_and_the_right_one_all(visit, world):
    """A key of another scope is refused with the scope that the page needs."""
    open_page, faults = visit
    page = open_page(key=world.reader, ready="#enter:visible")
    assert page.locator("#key-state").text_content() == "This key has no scope admin."
    assert not page.locator("#content").is_visible()
    faults.clear()  # the refused request is a line of the console
    page.locator("#key").fill(world.operator)
    page.keyboard.press("Enter")
    page.wait_for_selector("#problems li")
    assert world.live in page.locator("#processes").text_content()


def test_a_server_that_is_away_is_named_and_found_again(visit, world):
    """The figures stay with their time; the sentence goes when the server answers."""
    open_page, faults = visit
    page = open_page()
    page.route("**/operations/overview", lambda route: route.abort())
    page.clock.fast_forward(REFRESH_MS)
    page.wait_for_selector("#state.error")
    assert "The server does not answer." in page.locator("#state").text_content()
    assert "What is below is of " in page.locator("#state").text_content()
    assert page.locator("#live").is_visible()
    page.unroute("**/operations/overview")
    refresh(page)
    assert page.locator("#state").text_content() == ""
    faults.clear()  # the aborted request is a line of the console
