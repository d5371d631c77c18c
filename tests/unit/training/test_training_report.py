"""The report: one page that needs nothing else, says what happened, and runs nothing that a title says."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from recsys.types import PAD
from tests.flows.ring import dataset, log_of, quick, ring
from tests.flows.ring import write as write_ring
from training import recipe
from training.__main__ import main
from training.config import CONFIGS
from training.evaluation.metric_table import SERVED
from training.evaluation.preview import Preview, Scores, Slate
from training.evaluation.split import split
from training.gate.check import Check
from training.gate.dataset_profile import DataProfile
from training.progress import LearningCurves, RunProgress
from training.report.run_page import report, write
from training.report.run_report import RunReport

NASTY = '</style><script>alert("x")</script><img src=x onerror=alert(1)> & \ud800'


@pytest.fixture(scope="module")
def found():
    """What a small run found out, and its split."""
    frame = ring(users=150)
    log, curves = log_of(frame), LearningCurves()
    progress = RunProgress((curves,))
    parts = split(log, quick())
    taught = recipe.train_ranker(parts, quick(), progress)
    findings = RunReport(DataProfile.of(dataset(frame), log), quick(), curves.curves)
    findings.evaluation = recipe.evaluate(parts, taught, quick(), progress)
    findings.generation = "g20260101-000000-abcdef"
    return findings, parts


class Reader(HTMLParser):
    """Tags, text, and whether every tag was closed in turn."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_asks_nothing_of_the_network(found, tmp_path):
    """Every tag is closed, nothing is linked, loaded or run, and every part of the page is there."""
    html = write(found[0], tmp_path / "page.html").read_text()
    reader = Reader(html)
    assert reader.open == []
    assert not {"script", "link", "iframe", "object", "a"} & set(reader.tags)
    assert not {"href", "onload", "onerror", "style"} & {name for name, _ in reader.attributes}
    sources = [value for name, value in reader.attributes if name == "src"]
    assert sources
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "http" not in html.replace("http-equiv", "")
    for head in (
        "How good it is",
        "How sure the ranker is",
        "Learning curves",
        "What users would have seen",
        "The data",
    ):
        assert head in reader.text
    assert found[0].generation in html
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_the_page_has_the_figures_of_the_evaluation(found):
    """Each model has its row, with the value and the standard error of the evaluation, and a place in the chart."""
    html = report(found[0]).html()
    assert found[0].evaluation.legend in html
    for name, row in found[0].evaluation.rows.items():
        value, error = row["recall@10"], row["se_recall@10"]
        assert f"<th>{name}</th><td>{value:.4f} ±{error:.4f}</td>" in html, name
    charts = [base64.b64decode(each).decode() for each in re.findall(r"base64,([^\"]+)", html)]
    assert all(f">{name}<" in charts[0] for name in found[0].evaluation.rows)


def test_evaluate_writes_the_page_too(tmp_path, monkeypatch, capsys):
    """`python -m training evaluate --report` leaves the same page, and a folder that is not there is told at once."""
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "tandem"))
    monkeypatch.setitem(CONFIGS, "full", quick)
    data = str(write_ring(tmp_path / "data", ring(users=150)))
    assert main(["evaluate", "--data", data, "--report", str(tmp_path / "page.html")]) == 0
    html = (tmp_path / "page.html").read_text()
    assert "Training run on ring" in html
    assert "evaluated" in html
    assert "What users would have seen" in html
    assert main(["evaluate", "--data", data, "--report", str(tmp_path / "nowhere" / "page.html")]) == 1
    assert "--report names" in capsys.readouterr().err


def test_what_a_dataset_says_is_text(found):
    """Markup in a title, a user, a column or a reason is shown and not obeyed, and half a character is no crash."""
    findings = found[0]
    slate = Slate(NASTY, (NASTY,), 1, (NASTY,), (NASTY,), (0,))
    nasty = replace(
        findings,
        data=replace(findings.data, name=NASTY, filled={NASTY: 1.0}, set_aside={NASTY: 1}),
        checks=[Check(NASTY, "failed", NASTY)],
        evaluation=replace(findings.evaluation, warnings=[NASTY], preview=Preview(Scores(1, (1,) * 10), (slate,))),
    )
    html = report(nasty).html()
    html.encode()
    reader = Reader(html)
    assert "script" not in reader.tags
    assert not {"onerror"} & {name for name, _ in reader.attributes}
    assert html.count("&lt;script&gt;") >= 9


def test_a_refused_run_says_so_first_and_leaves_out_what_it_does_not_have(found):
    """A run stopped before training has its failed lines and its data, and no empty figures."""
    failed = [Check("rows", "failed", "rows: 10, and live g1 has 100."), Check("users", "passed", "users: 5.")]
    html = report(replace(found[0], evaluation=None, generation=None, refused=True, checks=failed, curves={})).html()
    assert (
        html.index("The gate refused this run") < html.index("rows: 10, and live g1 has 100.") < html.index("users: 5.")
    )
    assert "How good it is" not in html
    assert "Learning curves" not in html


def test_a_run_leaves_the_curve_of_every_step_that_trains(found):
    """Towers and ranker each tell a loss that falls."""
    curves = found[0].curves
    assert set(curves) == {"towers before the labels", "ranker on the labels", "towers before the test"}
    assert all(curve[-1][1] < curve[0][1] for curve in curves.values())


def test_slates_are_what_the_metrics_count(found):
    """A target is marked on a slate exactly where the evaluation places it, and nothing seen is shown."""
    findings, parts = found
    slates = findings.evaluation.preview.slates
    assert len(slates) == 10
    assert len({slate.user for slate in slates}) == 10
    recall = findings.evaluation.rows[SERVED]["recall@10"]
    for slate in slates:
        assert len(slate.shown) == len(set(slate.shown)) == 10
        assert not set(slate.shown) & set(slate.history)
        assert all(slate.shown[place] in slate.targets for place in slate.hits)
        assert bool(slate.hits) == bool(set(slate.shown) & set(slate.targets))
        user = parts.log.user_ids.tolist().index(int(slate.user))
        items = parts.log.items[parts.log.users == user]
        assert PAD not in items
        assert list(slate.history) == [str(parts.log.catalogue.ids[i]) for i in items[: slate.events][-8:]]
        assert slate.targets == (str(parts.log.catalogue.ids[items[slate.events]]),)
    assert sum(bool(slate.hits) for slate in slates) >= 10 * recall / 2
