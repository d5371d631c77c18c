"""The file of an experiment: it is written as it is read, and each mistake is a sentence with the fix."""

from __future__ import annotations

import pytest

from recsys.errors import ExperimentError
from recsys.experiments.definition import parse, to_toml

TEXT = """
name = "towers-2"
salt = "again"
start = 2026-12-01T08:00:00Z

[arms.new]
share = 0.5
generation = "g2"
mode = "hybrid"
candidates = 100

[[arms.new.rules.boost]]
where = {price = {gte = 3.0}, genre = "Drama"}
by = 0.5

[arms.new.explore]
slates = 0.5
temperature = 0.5

[arms.old]
share = 0.25

[audience]
surfaces = ["home"]
context = {device = ["phone"], "Country code" = ["DE"]}

[guardrails]
p99_ms = 250
click_rate_drop = false
"""


def test_what_is_read_is_written_again() -> None:
    """TOML and JSON of a definition give the same definition, the order of its arms included."""
    definition = parse(TEXT)
    assert parse(to_toml(definition)) == parse(definition.model_dump_json()) == definition
    assert [*parse(to_toml(definition)).arms] == ["new", "old"]
    assert definition.guardrails.click_rate_drop is None
    assert "click_rate_drop = false" in to_toml(definition)
    assert definition.arms["new"].changes == {"generation", "rules", "mode", "candidates", "explore"}


@pytest.mark.parametrize(
    ("line", "wrong", "sentence"),
    [
        ("", "", "x.toml: name is missing; add a line such as name"),
        ('name = "towers-2"', 'name = "Towers 2"', "name is 1 to 32 of a-z, 0-9, - and _, from a letter on, not"),
        ('salt = "again"', 'sallt = "again"', "There is no entry sallt. Did you mean salt?"),
        ('salt = "again"', 'layer = "models"', "x.toml: there is no layer any more: every experiment has all users"),
        ('salt = "again"', "traffic = 0.5", "x.toml: there is no traffic any more"),
        ('surfaces = ["home"]', "holdout = 0.05", "x.toml: there is no audience.holdout any more"),
        ("[arms.new]\nshare", "[arms.new]\nshre", "There is no entry arms.new.shre. Did you mean arms.new.share?"),
        ("candidates = 100", "zzz = 1", "The entries here are share, generation, rules, mode, candidates, explore."),
        ("[[arms.new.rules.boost]]", "[[arms.new.rules.boots]]", "arms.new.rules: there is no boots; known are"),
        ("share = 0.25", "", "arms.old.share is missing; add a line such as share = 0.5."),
        ("share = 0.25", "share = 0.75", "the shares of the arms have the sum 1.25, above 1."),
        ('mode = "hybrid"', 'mode = "batch"', 'arms.new: mode is "batch", and lists do not explore; leave mode or'),
        ("slates = 0.5", "", "arms.new.explore.slates is missing; add a line such as slates = 0.5."),
        ("share = 0.25", "share = true", "arms.old.share is a share above 0, at most 1, not true."),
        ("[arms.old]", "[arms.control]", '"control" is the name of what users get without an arm'),
        ("p99_ms = 250", "p99 = 250", "There is no entry guardrails.p99. Did you mean guardrails.p99_ms?"),
        ("08:00:00Z", "08:00:00", "start is a time with its zone, such as 2026-12-01T08:00:00Z, not"),
        ("[arms.new]", "[arms.new", "x.toml is not valid TOML"),
    ],
)
def test_a_mistake_is_a_sentence(line: str, wrong: str, sentence: str) -> None:
    """Names of entries are checked below arms and their rules too."""
    with pytest.raises(ExperimentError) as raised:
        parse(TEXT.replace(line, wrong) if line else "", "x.toml")
    assert sentence in str(raised.value)
