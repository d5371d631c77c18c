"""The pages of an experiment's report and of judged policies in Chromium: on a phone and on a desk, light and dark."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.experiments import changes
from recsys.experiments.definition import checked
from recsys.experiments.document import ExperimentsDocument
from training.experiments import experiment_page
from training.experiments.experiment_page import operation_table
from training.experiments.guardrails import ArmCounts, Look
from training.experiments.reading import read
from training.experiments.user_rows import UserRows
from training.experiments.verdict import judge
from training.experiments.window import window_of
from training.offpolicy import offpolicy_command
from training.report.page import write
from training.results import ArmJudgement, Estimate, Judgement, Overlap, Refusal

SIZES = {"390": {"width": 390, "height": 844}, "1280": {"width": 1280, "height": 900}}
DAY = 86_400.0


def experiment():
    """The page of an experiment with three arms, of which one has too few users, on three surfaces."""
    arms = {"new": {"share": 0.4}, "a-name-of-32-characters-the-most": {"share": 0.3}, "small": {"share": 0.01}}
    document = changes.create(ExperimentsDocument(), checked({"name": "look", "arms": arms}), DAY)
    document = changes.start(document, "look", 2 * DAY)
    experiment = changes.ramp(document, "look", 1.0, 3 * DAY).experiments["look"]
    draw, users = np.random.default_rng(7), 3_000
    arm = draw.choice(["control", *arms], users, p=[0.29, 0.4, 0.3, 0.01])
    slates = 1 + draw.poisson(9, users)
    clicks = draw.binomial(slates, (draw.beta(2, 8, users) * np.where(arm == "new", 1.4, 1.0)).clip(max=1))
    table = pd.DataFrame({"user_id": np.arange(users).astype(str), "arm": arm, "first": 1.0})
    table["surface"] = draw.choice(["home", "mail", "a-surface-with-a-longer-name"], users)
    table = table.assign(slates=slates, clicks=clicks, conversions=clicks // 3, not_served=0)
    rows = UserRows(table, _before(table), 3, 0)
    window = window_of(experiment, 9 * DAY)
    reading = read(rows, window, "click")
    sentence = "A conversion is an event of type purchase."
    operation = operation_table(*_looks(), window.groups, 0.0)
    return experiment_page.page(experiment, window, reading, judge(reading), sentence, operation)


def policies():
    """The page of a policy with an estimate, and of one that the log does not show."""
    estimate = Estimate(0.123456, 0.101, 0.14, 0.01)
    overlap = Overlap((9_000.0, 1_200.5, 300.0), (0.0, 0.01, 0.2))
    judged = Judgement(estimate, estimate, estimate, estimate, estimate, 2, overlap)
    left_out = {"asked before the end of the generation's data": 12_345}
    found = {
        "trained-2026-12-01T02-00-00Z-0123456789ab": ArmJudgement(judged, 60_000, 9_000, left_out),
        "sure": ArmJudgement(Refusal("The log shows too little of it.", Overlap((79.0,), (0.3,))), 60_000, 9_000),
    }
    return offpolicy_command.page(found, "/srv/tandem/.tandem/impressions")


def _looks():
    """Two looks of the monitor, and the name of the experiment."""
    counts = {}
    for arm, slow in (("control", 2), ("new", 40)):
        within = {0.01: 500.0, 0.05: 1_000.0 - slow, 0.1: 1_000.0, float("inf"): 1_000.0}
        counts[f"look/{arm}"] = ArmCounts({"ok": 980.0, "degraded": 15.0, "error": 5.0}, within)
    return [Look(1.0, {"gateway": {}}), Look(61.0, {"gateway": counts})], "look"


def _before(table):
    return table[["user_id", "surface"]].assign(slates=0, clicks=0, conversions=0)


@pytest.mark.parametrize(("size", "scheme"), [("390", "light"), ("1280", "dark")])
@pytest.mark.parametrize(
    ("report", "first", "pictures"),
    [(experiment, "new is better than control", 2), (policies, "Items that a user takes", 3)],
)
def test_nothing_scrolls_sideways_and_nothing_is_loaded(browser, tmp_path, report, first, pictures, size, scheme):
    """The first sentence is in the first window; a picture stays where TANDEM_PICTURES names a folder."""
    written = write(report(), tmp_path / "page.html")
    faults = []
    opened = browser.new_page(viewport=SIZES[size], color_scheme=scheme)
    opened.on("console", lambda line: faults.append(line.text))
    opened.on("request", lambda request: request.url.startswith(("data:", "file:")) or faults.append(request.url))
    opened.goto(written.as_uri())
    if folder := os.environ.get("TANDEM_PICTURES"):
        opened.screenshot(path=Path(folder) / f"{report.__name__}-{size}-{scheme}.png", full_page=True)
    assert opened.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    verdict = opened.locator(".verdict")
    assert verdict.text_content().strip().startswith(first)
    assert verdict.bounding_box()["y"] < SIZES[size]["height"]
    assert opened.locator("figure img").count() == pictures
    assert faults == []
    opened.close()
