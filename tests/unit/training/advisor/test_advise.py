"""`python -m training advise` on planted freshness curves and costs: the mode of each surface, its thresholds, the
checklist, the files that the command writes, and the sentences of wrong options.
"""

import io
import json
import re
from math import log

import pytest

from recsys.surfaces import parse
from tests.sample_data.planted_curves import FLAT, TURNS, curve, measurement, profile
from training.__main__ import main
from training.advisor.advice_page import render
from training.report.charts import Chart


@pytest.fixture
def advise(tmp_path, monkeypatch, capsys):
    """Run the command on planted curves; the figures of --json. The page and surfaces.toml are in tmp_path.

    drawn: whether the page has its charts, which take most of the time.
    """
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "home"))

    def advise(curves, *options, costs=True, toml="", drawn=False):
        if not drawn:
            monkeypatch.setattr(render, "chart", lambda title, *_, **__: Chart(title, "data:,"))
        (tmp_path / "curves.json").write_text(json.dumps(curves))
        (tmp_path / "options.toml").write_text(toml)
        arguments = ["--curves", tmp_path / "curves.json", "--options", tmp_path / "options.toml"]
        if costs:
            (tmp_path / "profile.json").write_text(json.dumps(profile()))
            arguments += ["--profile", tmp_path / "profile.json"]
        outputs = ["--json", tmp_path / "out.json", "--page", tmp_path / "page.html"]
        outputs += ["--surfaces", tmp_path / "surfaces.toml"]
        status = main(["advise", *map(str, [*arguments, *outputs, *options])])
        assert status == 0, capsys.readouterr().err
        return json.loads((tmp_path / "out.json").read_text())

    return advise


def advised(figures, surface="default"):
    """The advice on a surface: the mode, and a text of all reasons."""
    return figures["surfaces"][surface]["mode"], " ".join(figures["surfaces"][surface]["why"])


def kinds(figures, surface="default"):
    """The thresholds of a surface by kind and mode."""
    return {(each["kind"], each["mode"]): each for each in figures["surfaces"][surface]["thresholds"]}


def test_taste_that_never_turns_asks_for_batch(advise):
    """A loss within chance is none, and batch is the cheapest."""
    noise = [0, 0.03, -0.02, 0.03, 0.01, 0.03]
    assert advised(advise(measurement(FLAT, FLAT)))[0] == "batch"
    assert advised(advise(measurement(noise, noise, se=0.02)))[0] == "batch"
    lost = [0, 0.03, 0.03, 0.03, 0.03, 0.03]
    assert advised(advise(measurement(lost, lost, se=0.002)))[0] == "realtime"


def test_lists_that_a_ranking_keeps_fresh_ask_for_hybrid(advise):
    """The items of a day-old list are good, their order is not."""
    figures = advise(measurement(TURNS, FLAT), "--active-share", "0.5", "--slates", "100")
    assert advised(figures)[0] == "hybrid"
    assert parse(figures["surfaces_toml"])["default"].list_usable == 86_400


def test_lists_of_two_minutes_ask_for_micro_batch(advise):
    """Where a list of a day is stale and one of minutes is not; the file says which flow makes the lists."""
    figures = advise(measurement([0, 0, 0.01, 0.2, 0.3, 0.4], TURNS), "--active-share", "0.01")
    assert advised(figures)[0] == "micro-batch"
    assert parse(figures["surfaces_toml"])["default"].mode == "batch"
    assert "flows refresh --every 120" in figures["surfaces_toml"]


def test_a_peak_above_the_measured_rates_is_named(advise, capsys):
    """So are the figures that were not stated, on the terminal and on the page."""
    advise(measurement(FLAT, FLAT), "--slates=1000", "--tolerance=0.05")
    shown = capsys.readouterr().out
    assert "The costs were measured up to 400 slates a second, and the peak is 3,000" in shown
    assert "Assumed, because it was not stated: peak factor 3, active share 0.1, batch every 1d" in shown
    assert "tolerance" not in shown


def test_a_deadline_excludes_a_slow_mode(advise):
    """At the peak the measured latency of realtime is above the deadline; the least loss of the others is taken."""
    figures = advise(measurement(TURNS, TURNS), toml="[surfaces.default]\ndeadline_ms = 20\n")
    mode, why = advised(figures)
    assert mode == "micro-batch"
    assert "99 % of the answers take up to 30 ms at 30 slates a second, and the deadline is 20 ms." in why
    assert kinds(figures)["deadline", "realtime"]["value"] == 30


def test_each_surface_has_its_own_advice(advise):
    """Segment, tolerance, share and answers are those of the surface; no page waits for an e-mail."""
    toml = """
    [answers]
    team = "small"
    [surfaces.home]
    share = 0.7
    k = 20
    rules = "rules-home.toml"
    [surfaces.item]
    segment = "in_session"
    [surfaces.mail]
    answers = { latency = "offline" }
    tolerance = 0.5
    log_impressions = false
    """
    curves = measurement(FLAT, FLAT)
    curves["curves"] += [curve("list", TURNS, "in_session"), curve("list_ranked", TURNS, "in_session")]
    figures = advise(curves, toml=toml)
    assert {name: each["mode"] for name, each in figures["surfaces"].items()} == {
        "home": "batch",
        "item": "realtime",
        "mail": "batch",
    }
    assert figures["surfaces"]["item"]["share"] == pytest.approx(0.15)
    assert "Queries within a visit lose 40 %" in advised(figures, "home")[1]
    assert [*figures["surfaces"]["mail"]["judgements"]] == ["batch", "micro-batch"]
    assert "no page waits for an answer" in advised(figures, "mail")[1]
    assert figures["surfaces"]["mail"]["checklist"]["votes"]["batch"] == 2


def test_the_written_surfaces_are_read_back(advise, tmp_path):
    """The file has the stated fields, the mode, and the ages that were measured; the reasons are comments."""
    toml = "[surfaces.home]\nk = 20\ndeadline_ms = 150\nrate = 50\np50_ms = 60\np99_ms = 150\nerror_share = 0.0\n"
    figures = advise(measurement(TURNS, TURNS), toml=toml + "degraded_share = 0.01\n", costs=False)
    text = (tmp_path / "surfaces.toml").read_text()
    assert text == figures["surfaces_toml"]
    home = parse(text)["home"]
    assert (home.mode, home.k, home.deadline_ms, home.list_fresh, home.list_usable) == ("realtime", 20, 150, 60, 60)
    assert home.promise == {"rate": 50, "p50_ms": 60, "p99_ms": 150, "error_share": 0.0, "degraded_share": 0.01}
    assert all(f"# {sentence}" in text for sentence in figures["surfaces"]["home"]["why"])


@pytest.mark.parametrize(
    ("answers", "mode"),
    [
        ("latency=offline team=small risk=low features=session", "batch"),
        ("latency=action features=session catalogue=fast team=small", "realtime"),
        ("latency=action features=session catalogue=fast team=small risk=low", "hybrid"),
        ("", None),
    ],
)
def test_the_rule_of_thumb(advise, answers, mode):
    """Three answers for batch and fewer than two for real-time start with batch, and the other way round."""
    options = [f"--{answer}" for answer in answers.split()]
    assert advise(measurement(FLAT, FLAT), *options)["checklist"]["mode"] == mode


def test_the_checklist_decides_where_nothing_was_measured(advise):
    """Curves without judged ages say nothing; without a checklist either, everything is computed at the request."""
    curves = measurement(FLAT, FLAT, judged=[False] * 6)
    answers = ["--team=small", "--risk=low", "--catalogue=slow"]
    mode, why = advised(advise(curves, *answers))
    assert mode == "batch"
    assert "batch: its loss was not measured." in why
    assert advised(advise(curves))[0] == "realtime"


def test_traffic_users_and_tolerance_have_thresholds(advise):
    """The advice of the other side of each threshold is the mode that the threshold names."""
    curves = measurement(FLAT, FLAT)
    found = kinds(advise(curves, "--users", "2000000"))
    at = found["traffic", "batch"]["value"]
    assert advised(advise(curves, "--users", "2000000", "--slates", str(at * 2)))[0] == "batch"
    assert advised(advise(curves, "--users", "2000000", "--slates", str(at / 2)))[0] == "realtime"
    users = kinds(advise(curves))["users", "realtime"]["value"]
    assert advised(advise(curves, "--users", str(round(users * 2))))[0] == "realtime"
    found = kinds(advise(measurement(TURNS, TURNS)))
    assert found["tolerance", "hybrid"]["value"] == pytest.approx(0.4)
    assert advised(advise(measurement(TURNS, TURNS), "--tolerance", "0.41"))[0] == "batch"
    assert found["period", "batch"]["value"] == 60
    often = advise(measurement(TURNS, TURNS), "--batch-every", "1min")
    assert often["surfaces"]["default"]["judgements"]["batch"]["freshness"] == "enough"


def test_ask_asks_for_open_answers_alone(advise, monkeypatch, capsys):
    """A wrong answer is asked for again; an input that ends is an error."""
    typed = "offline\npeaks\nbig\nsmall\njobs\nlow\nslow\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    figures = advise(measurement(FLAT, FLAT), "--ask", "--features=session")
    assert figures["checklist"]["votes"] == {"batch": 6, "realtime": 1, "either": 0}
    assert figures["checklist"]["mode"] == "batch"
    assert "Features" not in capsys.readouterr().err


def test_costs_follow_the_profile(advise):
    """CPU by rate, cores at the peak, lists, bytes and money, computed here by hand."""
    figures = advise(
        measurement(FLAT, FLAT), "--slates=10", "--peak-factor=2", "--price-core-hour=0.36", "--price-gib-month=0"
    )
    batch, _, _, realtime = (each["cost"] for each in figures["surfaces"]["default"]["judgements"].values())
    at_20, at_100 = 30 / 20 + 2, 30 / 100 + 2  # measured; below 20 a second the line through both goes on
    assert realtime["cpu_s"] == pytest.approx((at_20 + (at_20 - at_100) * log(2) / log(5)) * 1_000)
    assert realtime["cores"] == pytest.approx((30 + 2 * 20) / 1_000)
    assert realtime["redis_bytes"] == pytest.approx(3e7)
    assert realtime["money"] == pytest.approx(0.07 * 0.36 / 3_600 / 10 * 1e6)
    assert batch["lists_a_second"] == pytest.approx(5_000 / 86_400)
    assert batch["redis_bytes"] == pytest.approx(3e7 + 5_000 * 2_400)
    assert batch["batch_window_s"] == pytest.approx(5_000 * 1.6 / 1_000)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--team", "big"], '--team is "small", "some" or "platform", not \'big\'.'),
        (["--slates", "many"], "--slates is a number of slates a second above 0, not 'many'."),
        (["--batch-every", "1w"], '--batch-every is a duration such as "90s", "15min", "6h" or "1d"'),
        (["--tolerance", "2"], "--tolerance is a share from 0 to below 1, such as 0.02, not 2."),
        (["--profile", "/nowhere.json"], "The cost profile /nowhere.json can't be read: No such file"),
        (["--json", "/nowhere/out.json"], "--json names /nowhere/out.json, whose folder does not exist."),
    ],
)
def test_a_wrong_option_is_a_sentence(tmp_path, capsys, options, sentence):
    """It names the option, the value and what is wanted."""
    (tmp_path / "curves.json").write_text(json.dumps(measurement(FLAT, FLAT)))
    assert main(["advise", "--curves", str(tmp_path / "curves.json"), *options]) == 1
    assert capsys.readouterr().err.startswith(sentence)


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("[workload]\nslate = 3", "There is no entry workload.slate. Did you mean workload.slates?"),
        ('[surfaces.home]\nmode = "batch"', "surfaces.home: the advice chooses the mode; leave `mode` out."),
        ('[surfaces.home]\nsegment = "new"', 'surfaces.home.segment is "all", "warm"'),
        ("[surfaces.a]\nshare = 0.7\n[surfaces.b]\nshare = 0.7", "the shares of the surfaces add up to 1.4"),
        ("[surfaces.a]\nk = 0", "surfaces.a.k is a whole number from 1 to 100, not 0."),
    ],
)
def test_a_wrong_file_of_options_is_a_sentence(tmp_path, capsys, toml, sentence):
    """It names the file, the field and what is wanted."""
    (tmp_path / "curves.json").write_text(json.dumps(measurement(FLAT, FLAT)))
    file = tmp_path / "options.toml"
    file.write_text(toml)
    assert main(["advise", "--curves", str(tmp_path / "curves.json"), "--options", str(file)]) == 1
    assert capsys.readouterr().err.startswith(f"{file}: {sentence}")


def test_wrong_curves_and_profiles_are_sentences(tmp_path, capsys):
    """The place of the first mistake; a profile needs each mode at two rates."""
    file = tmp_path / "file.json"
    for broken in (
        measurement(FLAT, FLAT) | {"users": -1},
        measurement(FLAT, FLAT) | {"curves": [curve("list", FLAT)] * 2},
        {},
    ):
        file.write_text(json.dumps(broken))
        assert main(["advise", "--curves", str(file)]) == 1
        assert capsys.readouterr().err.startswith(f"{file} holds no freshness curves: ")
    curves = tmp_path / "curves.json"
    curves.write_text(json.dumps(measurement(FLAT, FLAT)))
    file.write_text(json.dumps(profile() | {"points": profile()["points"][:1]}))
    assert main(["advise", "--curves", str(curves), "--profile", str(file)]) == 1
    assert re.search(r"is no cost profile: the mode \w+ needs points at two rates", capsys.readouterr().err)
