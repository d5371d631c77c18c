"""The parts of `make bench` that measure nothing: the search for a knee, what is left beyond it, tables."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from loadtests import bench
from loadtests import turns as in_turns
from loadtests.alike import K, compare
from loadtests.arrivals import Shape
from loadtests.bench_figures import cpu_ratio_medians, rows
from loadtests.bench_options import parser
from loadtests.knee import STEP, knee
from loadtests.overload import BASE, BEFORE, TIMES, overload
from loadtests.peers.servers import PeerError
from loadtests.point import Point
from loadtests.report import write
from loadtests.report.of_bench import costs, of_bench, of_knees, of_overload, overload_table
from loadtests.tally import Outcome, Tally


def tally(whole=0, rejected=0, failed=0, ms=10.0, cpu=0.0, late=False, seconds=10):
    counted = Tally()
    for outcome, count in ((Outcome.WHOLE, whole), (Outcome.REJECTED, rejected), (Outcome.FAILED, failed)):
        for number in range(count):
            counted.add(seconds * number / count, ms if outcome == Outcome.WHOLE else 1.0, outcome)
    counted.lag.add(50.0 if late else 0.1)
    counted.cpu_seconds = cpu
    return counted


def point(peer="split", rate=100.0, number=0, **told):
    return Point(peer, Shape("steady", ((10, rate),)), number, tally(**{"whole": 1_000, "cpu": 1.0, **told}))


@pytest.mark.parametrize("capacity", [7, 60, 399, 400, 401, 1_234, 9_000])
@pytest.mark.parametrize("start", [10, 400, 3_000])
def test_a_knee_is_found_from_either_side(capacity, start):
    """Within a step of what the simulated server holds, in a few dozen probes."""
    asked = []

    def holds(rate):
        asked.append(rate)
        return rate <= capacity

    found = knee(holds, start)
    assert found <= capacity < max(found * STEP, found + 1) * 1.001
    assert all(asked.count(rate) >= 2 for rate in asked)
    assert len(asked) <= 60


@pytest.mark.parametrize(
    ("told", "held"),
    [
        ({}, True),
        ({"ms": 51.0}, False),
        ({"failed": 20}, False),
        ({"rejected": 20}, False),
        ({"late": True}, False),
        ({"whole": 0, "failed": 9}, False),
    ],
)
def test_a_rate_holds_by_content_and_by_time(told, held):
    """Nearly all whole, p99 within the limit, and a generator that could tell."""
    assert point(**told).held(50) is held


def simulated(shape):
    """A server that serves 200 a second, of which a tenth come late, and turns the others away."""
    counted = Tally()
    counted.lag.add(0.1)
    start = 0.0
    for seconds, rate in shape.pieces:
        served = min(rate, 200)
        for second in range(int(seconds)):
            for number in range(int(rate)):
                at = start + second + number / rate
                late = number % 10 == 0 and rate > 200
                counted.add(at, 600.0 if late else 9.0, Outcome.WHOLE if number < served else Outcome.REJECTED)
        start += seconds
    counted.cpu_seconds = counted.count(Outcome.WHOLE) * 0.004 + counted.count(Outcome.REJECTED) * 0.0002
    return Point("split", shape, 0, counted)


def test_what_is_left_beyond_the_knee():
    """Goodput counts whole answers within the deadline; the peak is the best of the three."""
    asked = []

    def load(shape):
        asked.append(shape.pieces)
        return simulated(shape)

    found, surged = overload(load, "split", 0, 200.0, 4, 500.0, 50.0)
    assert asked[:3] == [((4, 200.0 * times),) for times in TIMES]
    assert [rate for _, rate in asked[3]] == [BASE * 200, 5 * 200, BASE * 200]
    assert asked[4:] == [((4, 400.0),), ((4, 800.0),)]
    assert found.peak == 200
    assert found.share(5) == pytest.approx(0.9)
    assert found.rejection == pytest.approx(0.05)
    assert found.recovery == 0
    assert surged.rate == 1_000
    row = overload_table([found]).rows[0]
    assert row[:6] == ["split", "200/s", "200/s", "100%", *row[4:6]]
    assert row[-2:] == ["5.0%", "0 s"]
    assert surged.shape.pieces[0][0] == BEFORE


def test_only_what_held_is_compared():
    """Ratios are of one pass; a cell says where not all passes held."""
    points = [
        point("split", number=0, cpu=1.0),
        point("split", number=1, cpu=2.0),
        point("litserve", number=0, cpu=3.0),
        point("litserve", number=1, cpu=5.0, ms=60.0),
        point("fastapi_monolith", number=0, failed=500),
        point("fastapi_monolith", number=1, failed=500),
    ]
    peers = ["split", "litserve", "fastapi_monolith"]
    table = costs(points, peers, [100.0], 50.0)
    assert table.rows[0] == ["split", "1.00-2.00 x1.00"]
    assert table.rows[1] == ["litserve", "3.00 x3.00 (1 of 2 held)"]
    assert table.rows[2] == ["fastapi_monolith", "did not hold"]
    assert "did not hold" in table.text()
    assert cpu_ratio_medians(points, peers, [100.0], 50.0) == {"cpu.split.litserve.100": 3.0}
    assert [row["held"] for row in rows(points, 50.0)] == [True, True, True, False, False, False]
    assert rows(points, 50.0)[0]["topology"] == "split"
    assert rows(points, 50.0)[2]["system"] == "litserve"


def test_every_mode_has_a_report(tmp_path):
    """With a peer that answered nothing, too."""
    points = [point(), point("litserve", whole=0, failed=50)]
    peers = ["split", "litserve"]
    write(of_bench(points, peers, [100.0], 50.0, "here"), tmp_path / "bench.json")
    write(of_knees({"split": [100.0], "litserve": [0.0]}, points, 50.0, "here"), tmp_path / "bench-knee.json")
    found, surged = overload(simulated, "split", 0, 200.0, 2, 500.0, 50.0)
    write(of_overload([found], [surged], 50.0, "here"), tmp_path / "bench-overload.json")
    assert len([*tmp_path.iterdir()]) == 6
    assert "litserve did not hold" in (tmp_path / "bench.html").read_text()


@pytest.mark.parametrize(
    ("how", "order"),
    [
        ([], "split100 split400 inline100 inline400, inline100 inline400 split100 split400"),
        (["--together"], "split100 inline100 inline400 split400, inline100 split100 split400 inline400"),
    ],
)
def test_who_runs_beside_another_is_loaded_beside_it(how, order, monkeypatch):
    """Where all run, two loads of one rate are seconds apart, whatever the rates, and neither is always the first.

    Those of one pass and rate are of the same users at the same moments, and no others are.
    """
    seeds = {}

    class Seen:
        def load(self, _peer, name, shape, number, _give_up, seed):
            seeds.setdefault((number, shape.pieces[0][1]), set()).add(seed)
            return point(name, shape.pieces[0][1], number)

    monkeypatch.setattr(in_turns, "_running", lambda each, _place: nullcontext(each))
    monkeypatch.setattr(in_turns, "_Alike", lambda _place: SimpleNamespace(compare=lambda *_: None))
    options = parser("").parse_args(["--peers", "split,inline", "--rates", "100,400", "--passes", "2", *how])
    points = bench.Bench(None, Seen(), options).rates()
    passes = [[f"{each.peer}{each.rate:g}" for each in points if each.number == number] for number in (0, 1)]
    assert [each.number for each in points] == [0] * 4 + [1] * 4
    assert ", ".join(map(" ".join, passes)) == order
    assert len(set().union(*seeds.values())) == len(seeds) == 4
    assert {len(each) for each in seeds.values()} == {1}


def test_slates_that_differ_are_refused():
    """In length, in scores, in items that stand clear of the last."""
    ours = [[(f"item-{n}", 10.0 - n) for n in range(K)]]
    compare(ours, [[(item, score + 1e-3) for item, score in ours[0]]], "near")
    compare(ours, [[*ours[0][:-1], ("another", ours[0][-1][1])]], "tied with the last")
    for other in (ours[0][:-1], [(item, score + 0.1) for item, score in ours[0]], [("x", 10.0), *ours[0][1:]]):
        with pytest.raises(PeerError):
            compare(ours, [other], "other")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--peers=split,nobody", "'nobody' is none of split"),
        ("--peers=split,split", "'split' is named twice"),
        ("--rates=100,x", "is not numbers of requests a second"),
        ("--rates=0", "is not numbers of requests a second"),
        ("--passes=0", "'0' is not a whole number from 1 to 100"),
        ("--passes=1.5", "is not a whole number"),
        ("--seconds=nan", "is not a number from 1 to 3600"),
        ("--at=litserv=80", "is neither a number nor PEER=RATE"),
        ("--start=split=4", "is neither a number nor PEER=RATE,PEER=RATE, from 5 to 20000"),
        ("--items=many", "is not a number of items"),
    ],
)
def test_an_option_that_is_none_is_told_what_would_be_right(option, words, capsys):
    """In one sentence, before anything is started."""
    with pytest.raises(SystemExit) as ended:
        parser("").parse_args([option])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
