"""The verdict and the report of a load test: a sentence, a table, and a page without other files."""

import json
from html.parser import HTMLParser

import pytest

from loadtests.report import load_report, sentence
from loadtests.slo import Slo
from loadtests.tally import Outcome, Tally
from training.report.page import write

SLO = Slo(rate=20, deadline_ms=500, p50_ms=50, p99_ms=100, error_share=0.0, degraded_share=0.1)


def run_of(milliseconds=10.0, seconds=5, outcome=Outcome.WHOLE, word="", late=False, others=0):
    """The content of load.json. others: requests with the outcome; 0: all."""
    tally = Tally()
    for number in range(20 * seconds):
        tally.add(number / 20, milliseconds, outcome if number < others or not others else Outcome.WHOLE, word)
        tally.lag.add(40.0 if late else 0.3)
    asked = {"shape": "steady", "rate": 20.0, "pieces": [(seconds, 20.0)], "door": "http", "k": 10, "seed": 1}
    verdict = SLO.judge(tally)
    run = {"asked": asked | {"host": "http://x"}, "generator_late": late, **verdict.to_json(), **tally.to_json()}
    return json.loads(json.dumps(run))


class Reader(HTMLParser):
    """Open tags, all tags and all links of a page."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("run", "good", "words"),
    [
        (
            run_of(),
            True,
            "slo.toml held: of 100 requests for slates half were answered within 10 ms and 99 % within 10 ms.",
        ),
        (run_of(milliseconds=123.4), False, "p50 ms was 123.4, and 50 is the limit; p99 ms was 123.4, and 100 is"),
        (
            run_of(outcome=Outcome.DEGRADED, others=11),
            False,
            "not hold: degraded share was 0.11, and 0.1 is the limit.",
        ),
        (run_of(outcome=Outcome.DEGRADED, others=10), True, "slo.toml held"),
        (run_of(outcome=Outcome.FAILED, word="status 500"), False, "error share was 1, and 0 is the limit"),
        (run_of(outcome=Outcome.REJECTED), False, "error share was 1"),
        (run_of(late=True), False, "Nothing was measured: the generator itself was late, by 40 ms"),
        (run_of(seconds=0), False, "No request was counted"),
        (run_of() | {"failed_clicks": 3}, False, "slo.toml did not hold: failed clicks was 3, and 0 is the limit."),
    ],
)
def test_the_verdict_is_a_sentence(run, good, words):
    """The sentence names the limits that did not hold, and the page has the same verdict."""
    assert words in sentence(run)
    assert load_report(run).good is good


@pytest.mark.parametrize(
    "run", [run_of(), run_of(seconds=0), run_of(outcome=Outcome.FAILED, word="no answer"), run_of(3e6)]
)
def test_every_run_has_a_page(run, tmp_path):
    """A run without an answer has a page as well. The page loads nothing, runs nothing and closes every tag."""
    path = write(load_report(run), tmp_path / "load.html")
    assert [each.name for each in tmp_path.iterdir()] == ["load.html"]
    reader = Reader()
    reader.feed(path.read_text())
    assert not reader.open
    assert "script" not in reader.tags
    assert len(reader.links) == 4
    assert all(link.startswith("data:image/svg+xml;base64,") for link in reader.links)
    assert sentence(run) in path.read_text()
