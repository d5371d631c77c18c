"""`surfaces.toml`: what a surface may have, and the sentence for each mistake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import SurfacesError
from recsys.surfaces import LONGEST, Surface, parse, to_toml

WHOLE = """
[home]
mode = "hybrid"
k = 20
deadline_ms = 150
rules = "rules/home é.toml"
list_fresh = "1h"
list_usable = 86400
log_impressions = false
rate = 50
p50_ms = 60
p99_ms = 150
error_share = 0.0
degraded_share = 0.01

[mail]
"""


def test_a_whole_file_is_read_and_written():
    """Every field; a surface without fields has the defaults, and `default` exists without a table."""
    surfaces = parse(WHOLE)
    assert [*surfaces] == ["default", "home", "mail"]
    assert surfaces["mail"] == surfaces["default"] == Surface()
    assert (surfaces["home"].list_fresh, surfaces["home"].list_usable) == (3_600, 86_400)
    assert surfaces["home"].promise["p99_ms"] == 150
    assert surfaces["mail"].promise is None
    text = to_toml(surfaces, {"home": ["The home page."]})
    assert "# The home page.\n[home]\n" in text
    assert parse(text) == surfaces


@given(seconds=st.one_of(st.integers(0, LONGEST), st.floats(0, LONGEST)))
def test_a_duration_is_written_as_it_is_read(seconds):
    """Through a file, for every number of seconds."""
    surfaces = {"default": Surface(list_usable=float(seconds))}
    assert parse(to_toml(surfaces)) == surfaces


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[home]\nmode = 'fast'", """home.mode is "auto", "batch", "hybrid" or "realtime", in quotes, not 'fast'."""),
        ("[home]\nmod = 'batch'", "There is no entry home.mod. Did you mean home.mode?"),
        ("[home]\nk = '20'", "home.k is a whole number from 1 to 100, not '20'."),
        ("[home]\nk = 101", "home.k is a whole number from 1 to 100, not 101."),
        ("[home]\ndeadline_ms = 1.5", "home.deadline_ms is a whole number of milliseconds above 0, not 1.5."),
        ("[home]\nlist_fresh = '1w'", "home.list_fresh is a duration such as"),
        ("[home]\nlist_fresh = '2d'\nlist_usable = '1d'", "home: list_fresh is above list_usable"),
        ("[home]\nlog_impressions = 1", "home.log_impressions is true or false, not 1."),
        ("[home]\nrules = ''", "home.rules is the path of a file"),
        ("[home]\nrate = 50", "home: rate, p50_ms, p99_ms, error_share, degraded_share are one promise, and p50_ms is"),
        (WHOLE.replace("p50_ms = 60", "p50_ms = 160"), "home: p50_ms is 160, above p99_ms, which is 150."),
        ("mode = 'batch'", "mode is outside the table of a surface; write it below a line such as [home]."),
        ("[[home]]", "home is outside the table of a surface"),
        (f"[{'a' * 33}]", f"[{'a' * 33}] is no name of a surface: "),
        ("\n".join(f"[s{number}]" for number in range(32)), "there are 33 surfaces with default; 32 are the most."),
    ],
)
def test_a_mistake_is_a_sentence(text, sentence):
    """It names the file, the field, its value and what is wanted."""
    with pytest.raises(SurfacesError) as caught:
        parse(text, "shop.toml")
    assert str(caught.value).startswith(f"shop.toml: {sentence}")
