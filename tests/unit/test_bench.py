"""The parts of `make bench` that measure nothing: the search for a knee, what is left beyond it, tables."""

import argparse
import random
from contextlib import nullcontext
from functools import partial
from math import inf
from types import SimpleNamespace

import pytest

from loadtests import bench
from loadtests import turns as in_turns
from loadtests.alike import K, compare
from loadtests.arrivals import Shape
from loadtests.bench_figures import cpu_ratio_medians, knee_ratio_medians, rows
from loadtests.bench_options import of_peer, parser
from loadtests.knee import STEP, knee, knees
from loadtests.overload import BASE, BEFORE, TIMES, overload, recovery, rejection
from loadtests.peers.servers import PEERS, PeerError, Running
from loadtests.point import Point
from loadtests.report import write
from loadtests.report.of_bench import costs, knee_table, of_bench, of_knees, of_overload, overload_table
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


def test_one_lucky_probe_is_no_knee():
    """Nor is one unlucky probe the end: what two of three say alike counts."""
    lies = {600: iter([True]), 400: iter([False])}

    def holds(rate):
        return next(lies.get(rate, iter([])), rate <= 450)

    assert 400 <= knee(holds, 400) <= 450


def test_a_noisy_server_has_a_knee_near_its_capacity():
    """One probe of ten lies; of twenty searches, at most a few end far off."""
    chance, found = random.Random(1), []
    for _ in range(20):
        found.append(knee(lambda rate: (rate <= 800) != (chance.random() < 0.1), 400))
    assert sum(720 <= each <= 880 for each in found) >= 14


def test_knees_are_looked_for_side_by_side():
    """A probe of one after a probe of another, until the last is found; each is what it is alone."""
    capacities, probed = {"quick": 1_300, "slow": 640, "broken": 0}, []

    def holds(name, rate):
        probed.append(name)
        return rate <= capacities[name]

    starts = {"quick": 900, "slow": 600, "broken": 900}
    found = knees({name: partial(holds, name) for name in capacities}, starts)
    assert probed[:9] == ["quick", "slow", "broken"] * 3
    assert found == {name: knee(partial(holds, name), starts[name]) for name in capacities}
    assert found["broken"] == 0


def test_a_server_that_holds_nothing_has_no_knee():
    """The search ends at both sides."""
    assert knee(lambda _: False, 400) == 0
    assert knee(lambda _: True, 400) > 10_000


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


def test_what_a_rejection_costs_is_solved_from_two_runs():
    """A served request of 2 ms and a rejected one of .1 ms."""
    less = tally(whole=1_000, rejected=500, cpu=1_000 * 0.002 + 500 * 0.0001)
    more = tally(whole=900, rejected=4_000, cpu=900 * 0.002 + 4_000 * 0.0001)
    assert rejection(less, more) == pytest.approx(0.05)


@pytest.mark.parametrize("more", [tally(whole=1_000, cpu=2.0), tally(rejected=900, cpu=2.0), tally()])
def test_what_cannot_be_told_of_a_rejection_is_not_told(more):
    """Nothing rejected, nothing served."""
    assert rejection(tally(whole=1_000, cpu=2.0), more) is None


def surge(slow):
    """Two requests each second; in `slow` seconds they take 400 ms."""
    counted = Tally()
    for second in range(30):
        for at in (second, second + 0.5):
            counted.add(at, 400.0 if second in slow else 5.0, Outcome.WHOLE)
    return counted


@pytest.mark.parametrize(("slow", "seconds"), [((), 0), (range(5, 18), 3), ((15, 17), 3), (range(5, 30), inf)])
def test_recovery_is_two_good_seconds_in_a_row(slow, seconds):
    """Counted from the fall of the load; one good second between bad ones is none."""
    assert recovery(surge(slow), 15, 50.0) == seconds


def test_a_second_of_rejections_is_no_recovery():
    """Whoever answers nobody is quick."""
    counted = surge(())
    for number in range(10):
        counted.add(15.1 + number / 20, 1.0, Outcome.REJECTED)
    assert recovery(counted, 15, 50.0) == 1


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


def test_who_is_offered_less_than_the_peak_owes_no_more():
    """All that came was answered: that is all of it, and who rejects nothing pays for no rejection."""
    found, _ = overload(simulated, "split", 0, 40.0, 4, 500.0, 50.0)
    assert [found.share(times) for times in TIMES] == [1, 1, 1]
    assert found.peak == 200
    assert found.rejection is None


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


def test_knees_are_compared_pass_by_pass():
    """Above 1 is better for us."""
    knees = {"split": [1_000.0, 900.0], "litserve": [500.0, 300.0], "bentoml_default": [0.0, 0.0]}
    assert knee_table(knees).rows[1] == ["litserve", "300-500", "x2.00-3.00"]
    assert knee_table(knees).rows[2][2] == "did not hold"
    assert knee_ratio_medians(knees) == {"rate.split.litserve": 2.5}


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


def test_two_doors_are_of_one_deployment(monkeypatch):
    """Where all run: two of the same settings differ by more than their doors."""
    started = []

    def running(each, _place):
        started.append(each.name)
        return nullcontext(Running(f"http://host:{len(started)}", len(started), grpc_door="host:1").at_door(each.peer))

    monkeypatch.setattr(in_turns, "_running", running)
    monkeypatch.setattr(in_turns, "_Alike", lambda _place: SimpleNamespace(compare=lambda *_: None))
    variants = [in_turns.Variant(name, name) for name in ("split", "inline", "split_grpc", "split_prompt")]
    peers = {name: peer for _, name, peer in in_turns.together(None, variants, 1)}
    assert started == ["split", "inline", "split_prompt"]
    assert {name: (peer.pid, peer.grpc) for name, peer in peers.items()} == {
        "split": (1, ""),
        "inline": (2, ""),
        "split_grpc": (1, "host:1"),
        "split_prompt": (3, ""),
    }


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


def test_options_are_read():
    """A knee for all, and knees by name."""
    assert parser("").parse_args(["--at=600"]).at == {"": 600.0}
    told = parser("").parse_args(["--overload", "--at=split=900,litserve=80", "--items=10k"])
    assert told.at == {"split": 900.0, "litserve": 80.0}
    starts = parser("").parse_args(["--start=250,split=900"]).start
    assert [of_peer(starts, name) for name in ("split", "litserve")] == [900.0, 250.0]
    assert told.items == 10_000
    assert {*parser("").parse_args([]).peers} <= {*PEERS}


@pytest.mark.parametrize("text", ["", "10", "10:x", "0:5", "10:-1", "10:5,", "inf:3"])
def test_pieces_that_are_none_are_refused(text):
    """And those that are some are read back as they were."""
    with pytest.raises(argparse.ArgumentTypeError, match="like 10:100,5:500"):
        Shape.read(text)
    assert Shape.read("10:100,5:0.5").pieces == ((10, 100), (5, 0.5))
    assert str(Shape.read("10:100,5:0.5")) == "10:100,5:0.5"
