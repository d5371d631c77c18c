"""The parts of `python -m loadtests.batching` that start nothing: what adaptive is held to, a window that is fixed."""

import json
from math import inf

import pytest

from loadtests.arrivals import Shape
from loadtests.batching import parser, variants
from loadtests.batching_figures import ADAPTIVE, NONE, Run, best, fixed, ratios, verdict
from loadtests.point import Point
from loadtests.report import write
from loadtests.report.of_batching import of_batching, table
from loadtests.tally import Outcome, Tally
from service.recommend.pace import Pace
from service.settings import Settings

SHAPE = Shape("shifting", ((2, 20.0), (2, 400.0)))


def run(name=ADAPTIVE, number=0, cpu=2.0, alone=6.0, busy=20.0, failed=0, late=False):
    """Milliseconds: of CPU a request, and that all took at 20 and at 400 a second."""
    tally = Tally()
    for count, first, ms in ((40, 0.0, alone), (800, 2.0, busy)):
        for place in range(count):
            tally.add(first + 2 * place / count, ms, Outcome.WHOLE)
    for _ in range(failed):
        tally.add(2.0, 1.0, Outcome.FAILED)
    tally.lag.add(50.0 if late else 0.1)
    tally.cpu_seconds = cpu * 840 / 1e3
    return Run(name, number, Point(name, SHAPE, number, tally))


FIXED = [run(NONE, cpu=3.0), run(fixed(15), cpu=2.0, alone=9.0, busy=25.0), run(fixed(25), cpu=1.95, busy=40.0)]


@pytest.mark.parametrize(
    ("ours", "broken"),
    [
        (run(), []),
        (run(cpu=3.2), ["CPU, of fixed 0 ms"]),
        (run(busy=22.0), ["p99, of fixed 0 ms"]),
        (run(alone=6.5), ["p50 at the least load, of fixed 0 ms"]),
        (run(failed=20), ["adaptive, not whole"]),
        (run(late=True), ["p99, of fixed 0 ms", "CPU, of fixed 0 ms", "p50 at the least load, of fixed 0 ms"]),
    ],
)
def test_adaptive_is_held_to_the_window_with_the_least_p99(ours, broken):
    """No worse than 5 % in p99, in CPU, and alone; what was not measured did not hold."""
    told = verdict([ours, *FIXED])
    assert [line.name for line in told.lines if not line.held] == broken


def test_a_window_that_does_not_answer_whole_is_not_the_best():
    """Who leaves out stages is quick; and where no window held there is nothing to be worse than."""
    cheap = run(fixed(2), busy=5.0, failed=100)
    assert best([run(), *FIXED, cheap]) == NONE
    assert best([run(), cheap]) is None
    assert verdict([run(), run(NONE), cheap]).held


def test_ratios_are_of_one_pass():
    """The median of the passes counts, whatever order they came in."""
    runs = [run(number=1, cpu=4.0), run(number=0, cpu=2.0), run(number=2, cpu=9.0)]
    runs += [run(NONE, number, cpu=cpu) for number, cpu in enumerate((2.0, 4.0, 3.0))]
    assert ratios(runs, NONE, lambda each: each.cpu_ms) == pytest.approx([1.0, 1.0, 3.0])
    [_, _, cpu, *_] = verdict(runs).lines
    assert cpu.measured == pytest.approx(1.0)


def test_a_setting_is_told_by_step(tmp_path):
    """And how many times of it adaptive took."""
    runs = [run(), *FIXED[:2], run(fixed(25), cpu=1.95, busy=40.0, late=True)]
    rows = {row[0]: row for row in table(runs).rows}
    assert rows[NONE] == [NONE, "3.00", "20", "6 / 6", "20 / 20", "100.0", "0.67", "1.00", ""]
    assert rows[fixed(25)][-3:] == ["inf", "inf", "1 of 1"]
    told = verdict(runs)
    write(of_batching(runs, told, "here"), tmp_path / "batching.json")
    json.dumps(told.to_json(), allow_nan=False)


def test_a_fixed_window_is_as_long_however_busy_the_process_is():
    """Without it the pace adapts."""
    told = {}
    for variant in variants([7.0]):
        settings = {name.removeprefix("TANDEM_").lower(): value for name, value in variant.variables.items()}
        pace = Pace.of(Settings(**settings))
        told[variant.name] = [pace.seconds(0.0, 1, 1)]
        pace.mark(0.0, True)
        pace.count(100.0, 30)
        told[variant.name].append(pytest.approx(pace.seconds(100.0, 1, 1)))
    assert told == {ADAPTIVE: [0.0, 0.012], NONE: [0.0, 0.0], fixed(7): [0.007, 0.007]}


def test_windows_are_read(capsys):
    """No window is always among them; what is none is refused."""
    assert [each.name for each in variants([5.0, 0.0])] == [ADAPTIVE, NONE, fixed(5)]
    for wrong in ("-1", "101"):
        with pytest.raises(SystemExit):
            parser().parse_args([f"--windows=5,{wrong}"])
        assert f"'{wrong}' is not a number from 0 to 100" in capsys.readouterr().err
    assert run().step(1, 0.5) == pytest.approx(20, rel=0.01)
    assert run().step(0, 0.5) < run().step(1, 0.5) < inf
