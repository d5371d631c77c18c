"""The file of rules: valid rules, sentences for mistakes, rules that a generation lacks, and edits of the file."""

from dataclasses import replace
from pathlib import Path

import pytest

from recsys.errors import RulesError
from recsys.filters.compiled_conditions import NumberMatch, TokenMatch
from recsys.model.feature_spec import FeatureSpec
from recsys.rules import Rules, RulesFile, compile_rules, parse

SPEC = FeatureSpec(
    tokens=("", "genre=Drama", "genre=Comedy", "studio=A", "year#0"),
    edges={"year": (1990.0,)},
    event_types=("click",),
    columns=("genre", "studio", "year"),
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[cap]]\ncolumn='genre'\nat_most=0", "cap.0.at_most is 0; the value should be greater than or equal to 1."),
        ("[[cap]]\ncolumn='genre'\nat_most=1\natmost=1", "there is no cap.0.atmost; known are column, at_most, within"),
        ("cap=3", "cap is 3; the value should be a valid list"),
        ("colour=1", "there is no colour; known are hide_unavailable, exclude_seen"),
        ("exclude_seen='yes'", "exclude_seen is 'yes'; \"dataset\", true or false is wanted."),
        ("[[boost]]\nby=1", "say which items"),
        ("[[boost]]\nby=nan\nitems=['a']", "boost.0.by is nan; the value should be a finite number"),
        ("[[boost]]\nby=1\nwhere={year=1990}", "boost.0.where.year: Send a list of values, a range"),
        ("[[bury]]\nby=1\nitems=['a', 1.5]", "bury.0.items.1 is 1.5; an id is wanted"),
        ("[[quota]]\nnew_within_days=7\nat_least=5\nwithin=2", "quota.0: 5 items don't fit in 2 places"),
        ("[[cap]", "is not valid TOML"),
        pytest.param("a=" + "[" * 100_000, "is not valid TOML: it is nested too deep.", id="deep"),
        pytest.param("a=" + "1" * 5_000, "is not valid TOML: Exceeds the limit", id="digits"),
        (
            "[[boost]]\nby=1\nwhere={price={lt='x'}}",
            "boost.0.where.price.lt is 'x'; the value should be",
        ),
        ("[[boost]]\nby=1\nwhere={price={}}", "boost.0.where.price: Send at least one of lt, lte, gt and gte"),
        ("[[boost]]\nby=1\nwhere={price={below=5}}", "no boost.0.where.price.below; known are lt, lte, gt, gte"),
    ],
)
def test_a_mistake_is_a_sentence_with_its_field(text, sentence):
    """The sentence has the field, its value and what is wanted."""
    with pytest.raises(RulesError) as error:
        parse(text)
    assert sentence in str(error.value)
    assert str(error.value).startswith("rules.toml")


def test_the_example_in_the_docs_is_a_file_of_rules():
    """The example is valid and has every table."""
    page = (Path(__file__).resolve().parents[3] / "docs/rules.md").read_text(encoding="utf-8")
    rules = parse(page.partition("```toml\n")[2].partition("```")[0])
    assert rules.model_fields_set == set(Rules.model_fields)


def test_a_rule_that_a_generation_can_not_apply_is_inactive():
    """An unknown column or value makes that rule alone inactive, and the reason is reported."""
    rules = parse(
        "[[cap]]\ncolumn='actor'\nat_most=1\n[[cap]]\ncolumn='genre'\nat_most=1\n[[cap]]\ncolumn='year'\nat_most=1\n"
        "[[boost]]\nby=1\nwhere={genre='Western'}\n[[boost]]\nby=1\nwhere={genre='Drama', studio='A'}"
    )
    of_spec = compile_rules(rules, SPEC)
    assert [cap.tokens.tolist() for cap in of_spec.caps] == [[1, 2]]
    assert [boost.matches for boost in of_spec.boosts] == [(TokenMatch((1,)), TokenMatch((3,)))]
    assert len(of_spec.inactive) == 3
    assert "no categorical column 'actor'; it has genre, studio" in of_spec.inactive[0]
    assert "genre = 'Western'" in of_spec.inactive[2]


def test_a_rule_selects_items_by_the_conditions_of_a_filter():
    """Sets, ranges and booleans; a text is a set of one. A wrong condition makes the rule inactive, with the reason."""
    spec = replace(SPEC, numbers=("year", "on_sale"), booleans=("on_sale",), columns=(*SPEC.columns, "on_sale"))
    where = "where={genre=['Drama', 'Comedy'], studio='A', year={gte=1990}, on_sale=true}"
    (boost,) = compile_rules(parse(f"[[boost]]\nby=1\n{where}"), spec).boosts
    numbers = NumberMatch(0, ((1990, float("inf")),)), NumberMatch(1, ((1, 1),))
    assert boost.matches == (TokenMatch((1, 2)), TokenMatch((3,)), *numbers)
    wrong = (
        "where={genre={lt=3}}",
        "where={year=true}",
        "where={year=['x']}",
        "where={on_sale=[1]}",
        "where={sale=true}",
    )
    inactive = compile_rules(parse("".join(f"[[bury]]\nby=1\n{each}\n" for each in wrong)), spec).inactive
    for reason, words in zip(inactive, ("text", "numbers", "not text", "true or false", "no item column"), strict=True):
        assert words in reason


ORDER = "[[cap]]\ncolumn='genre'\nat_most=3\n[[boost]]\nwhere={genre='Drama'}\nby=0.5"


def test_the_filters_of_rules_only_exclude_items():
    """Rules for similar items keep the two switches, and no rule that changes the order."""
    compiled = compile_rules(parse(f"hide_unavailable = false\nexclude_seen = false\n{ORDER}"), SPEC)
    assert compiled.filters.rules == Rules(hide_unavailable=False, exclude_seen=False)
    assert (compiled.filters.caps, compiled.filters.boosts) == ((), ())
    assert compiled.filters is compiled.filters


def test_a_valid_edit_is_in_force_and_a_wrong_one_is_not(tmp_path):
    """The file is read again when it changes. After a wrong edit the old rules stay, and the fault is reported."""
    path = tmp_path / "rules.toml"
    rules = RulesFile(path)
    assert rules.current == Rules()
    path.write_text("[[cap]]\ncolumn='genre'\nat_most=2")
    rules.refresh()
    assert rules.current.cap[0].at_most == 2
    path.write_text("[[cap]]\ncolumn='genre'\nat_most=-2")
    rules.refresh()
    assert rules.current.cap[0].at_most == 2
    assert "cap.0.at_most is -2" in rules.fault
    path.write_text("a=" + "[" * 100_000)
    rules.refresh()
    assert "nested too deep" in rules.fault
    path.unlink()
    rules.refresh()
    assert (rules.current, rules.fault) == (Rules(), None)


def test_a_named_file_has_to_be_there(tmp_path, caplog):
    """A mistyped path is an error. A file that is removed later is reported."""
    path = tmp_path / "rules.toml"
    with pytest.raises(RulesError, match=f"There is no file {path}"):
        RulesFile(path, named=True)
    path.touch()
    rules = RulesFile(path, named=True)
    path.unlink()
    with caplog.at_level("INFO", "tandem"):
        rules.refresh()
    assert caplog.messages == [f"The file {path} was removed."]


def test_a_worker_that_starts_after_a_wrong_edit_has_the_old_rules(tmp_path):
    """It reads the kept text of the last valid file and reports the fault. A removed file removes the kept text."""
    path, last = tmp_path / "rules.toml", tmp_path / "rules.last.toml"
    path.write_text("cap = 3")
    first = RulesFile(path, last=last)
    assert first.current == Rules()
    assert "cap is 3" in first.fault
    path.write_text("[[cap]]\ncolumn='genre'\nat_most=2")
    first.refresh()
    assert first.fault is None
    path.write_text("[[cap")
    second = RulesFile(path, last=last)
    assert second.current == first.current
    assert "not valid TOML" in second.fault
    path.unlink()
    second.refresh()
    path.write_text("[[cap")
    third = RulesFile(path, last=last)
    assert third.current == Rules()
    last.write_text("no rules of this code")
    assert RulesFile(path, last=last).current == Rules()
    assert {each.name for each in tmp_path.iterdir()} == {"rules.toml", "rules.last.toml"}
