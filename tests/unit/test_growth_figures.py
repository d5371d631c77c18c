"""The parts of `python -m loadtests.growth` that start nothing: tables over catalogues and gateway processes."""

import json

import pytest

from loadtests.growth import parser
from loadtests.growth_figures import Cell, by_key
from loadtests.knee import knee
from loadtests.memory import Sample
from loadtests.report import write
from loadtests.report.of_growth import memory_table, of_growth, times_table
from tests.unit.test_bench import point


def cell(items=10_000, workers=1, number=0, highest=500.0, ms=10.0, gateway=300.0, **told):
    memory = Sample(0.0, {"gateway": gateway, "ranking": 200.0}, 0.0, 0.0, 80, 5)
    return Cell(items, workers, number, [point(rate=50.0, ms=5.0), point(ms=ms, **told)], memory, highest)


CELLS = [
    cell(100_000, 1, 0, ms=30.0),
    cell(10_000, 2, gateway=500.0),
    cell(10_000, 1, 1, highest=550.0, ms=20.0, cpu=2.0),
    cell(10_000, 1, 0),
]


def test_passes_stand_together():
    """The smallest catalogue first, in the order of the passes, whatever the order they ran in."""
    found = by_key(CELLS)
    assert [*found] == [(10_000, 1), (10_000, 2), (100_000, 1)]
    assert [each.number for each in found[10_000, 1]] == [0, 1]


def test_a_row_is_a_catalogue_with_so_many_gateways():
    """Least and most of the passes; what was not answered whole is said."""
    found = by_key(CELLS)
    times = times_table(found).rows
    assert times[0] == ["10,000", "1", "1.00", "5", "5", "1.00-2.00", "10-20", "10-20", "500-550"]
    assert times[2][:2] == ["100,000", "1"]
    assert memory_table(found).rows[1] == ["10,000", "2", "700", "500", "200"]
    poor = times_table(by_key([cell(failed=1_000, highest=None)])).rows[0]
    assert poor[-2:] == ["10 (50% whole)", "-"]


@pytest.mark.parametrize("cells", [CELLS, [cell(highest=None)], [cell(highest=0.0, whole=0, failed=9)]])
def test_growth_has_a_report(cells, tmp_path):
    """With one catalogue, without knees, with a deployment that answered nothing."""
    report = of_growth(cells, 50.0, "here")
    write(report, tmp_path / "growth.json")
    drawn = [chart.title for chart in report.charts]
    assert ("Highest rate that holds" in drawn) is (cells[0].knee is not None)
    assert "Memory of all processes" in drawn
    json.dumps([each.to_json() for each in cells])


def test_the_sentence_goes_from_the_smallest_to_the_largest():
    """With the fewest gateway processes."""
    told = of_growth(CELLS, 50.0, "here").sentence
    assert told == (
        "With 1 gateway process, 10,000 items: p99 10-20 ms at 100 a second, 500 MiB; "
        "100,000 items: p99 30 ms at 100 a second, 500 MiB."
    )


def test_a_rough_knee_takes_fewer_probes():
    """Within the step that it was asked for."""
    probes = {1.055: 0, 1.15: 0}
    for step in probes:

        def holds(rate, step=step):
            probes[step] += 1
            return rate <= 730

        assert 730 / step / 1.01 <= knee(holds, 400, step) <= 730
    assert probes[1.15] < probes[1.055]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--items=10k,10000", "10000 is named twice"),
        ("--items=10k,many", "'many' is not a number of items"),
        ("--workers=1,0", "'0' is not a whole number from 1 to 64"),
    ],
)
def test_an_option_that_is_none_is_told_what_would_be_right(option, words, capsys):
    """In one sentence, before anything is made."""
    with pytest.raises(SystemExit):
        parser().parse_args([option])
    assert words in capsys.readouterr().err
