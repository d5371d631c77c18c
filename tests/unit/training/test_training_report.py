"""The report of a training run: one page that needs nothing else and shows text of the data as text."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest

from tests.flows.ring_dataset import quick, ring
from tests.flows.ring_dataset import write as write_ring
from training.__main__ import main
from training.judge.gate.check import Check
from training.judge.gate.dataset_profile import DataProfile
from training.judge.metric_table import SERVED, Evaluation
from training.judge.run_page import RunReport, report
from training.results import Preview, Scores, Slate

NASTY = '</style><script>alert("x")</script><img src=x onerror=alert(1)> & \ud800'
TRAINING = """
[training]
precomputed = 10
tower = { dim = 16, hidden = 32, batch = 16, epochs = 12, negatives = 64 }
ranker = { epochs = 2, minimum = 50, doubtful = 0 }
"""


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """The folder of an evaluation with its page, its JSON and its files for TensorBoard."""
    folder = tmp_path_factory.mktemp("evaluated")
    data = write_ring(folder / "data", ring(users=150))
    (data / "dataset.toml").write_text((data / "dataset.toml").read_text() + TRAINING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(folder / "home"))
        outputs = ["--report", str(folder / "page.html"), "--json", str(folder / "table.json")]
        assert main(["evaluate", "--data", str(data), "--set", "threads=1", *outputs]) == 0
    return folder


class Reader(HTMLParser):
    """Tags, attributes and text; each tag is closed in turn."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_loads_nothing(evaluated):
    """Every tag is closed, nothing is linked, loaded or run, and every part of the page is there."""
    html = (evaluated / "page.html").read_text()
    reader = Reader(html)
    assert not {"script", "link", "iframe", "object", "a"} & set(reader.tags)
    assert not {"href", "onload", "onerror", "style"} & {name for name, _ in reader.attributes}
    sources = [value for name, value in reader.attributes if name == "src"]
    assert sources
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "http" not in html.replace("http-equiv", "")
    heads = {"How good it is", "How sure the ranker is", "Learning curves", "What users would have seen", "The data"}
    assert heads < set(reader.text)
    assert "Training run on ring" in html


def test_the_page_has_the_figures_of_the_evaluation(evaluated):
    """Each model has its row with value and standard error, a place in the chart, and each step a loss that falls."""
    html, table = (evaluated / "page.html").read_text(), json.loads((evaluated / "table.json").read_text())
    charts = [base64.b64decode(each).decode() for each in re.findall(r"base64,([^\"]+)", html)]
    for name, row in table["rows"].items():
        figure = f"{row['recall@10']:.4f} ±{row['se_recall@10']:.4f}".replace("0.", ".")
        assert f"<th>{name}</th><td>{figure}</td>" in html, name
        assert f">{name}<" in charts[0]
    curves = re.findall(r"([a-z ]+): loss from ([\d.]+) to ([\d.]+)", html)
    assert {step for step, *_ in curves} == {
        "towers before the labels",
        "ranker on the labels",
        "towers before the test",
    }
    assert all(float(last) < float(first) for _, first, last in curves)


def test_a_run_is_written_for_tensorboard(evaluated):
    """Loss and validation of each training, the configuration, and the metrics."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    [run] = (evaluated / "home" / "tensorboard").iterdir()
    events = event_accumulator.EventAccumulator(str(run)).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"towers before the labels/loss", "towers before the labels/validation", "ranker on the labels/loss"} <= tags
    assert {"recall@10", "ndcg@10"} <= tags
    data = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert all(name in data for name in (b"tower.epochs", b"ranker.minimum", b"seed"))


def test_text_of_the_data_is_shown_as_text():
    """Markup in a title, a user, a column or a reason is escaped, and half a character is no crash."""
    figures = {"queries": 1, "recall@10": 0.5, "se_recall@10": 0.1, "ndcg@10": 0.2, "se_ndcg@10": 0.1}
    slate = Slate(NASTY, (NASTY,), 1, (NASTY,), (NASTY,), (0,))
    preview = Preview(Scores(1, (1,) * 10), (slate,))
    rows = {"popularity": figures, SERVED: figures}
    data = DataProfile(NASTY, 1, 1, 1, filled={NASTY: 1.0}, types={NASTY: 1.0}, set_aside={NASTY: 1})
    run = RunReport(data, quick(), {}, checks=[Check(NASTY, "failed", NASTY)])
    run.evaluation = Evaluation("rolling", 1, 1, 1, 1.0, rows, warnings=[NASTY], preview=preview)
    html = report(run).html()
    html.encode()
    reader = Reader(html)
    assert "script" not in reader.tags
    assert not {"onerror"} & {name for name, _ in reader.attributes}
    assert html.count("&lt;script&gt;") >= 9
