"""A mistake in dataset.toml or in the files that it names is one sentence with the field, the file or the fix."""

import pytest

from tests.unit.data.small_log import TOML, rows

ITEMS = '[items]\nfile = "items.csv"\nitem_id = "what"\n'
PRICED = ITEMS + 'numeric = ["price"]\nboolean = ["sale"]\ncategorical = ["brand"]\n'
TYPES = 'event_type = "kind"\n'


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("name = ", ["is not valid TOML"]),
        ("name = 'x'", ["The section [interactions] is missing"]),
        ("[interactions]\nfile='a'\nuser_id='u'", ["interactions.item_id is missing; add a line such as item_id ="]),
        ('folder = "nowhere"\n' + TOML, ["names the folder", "nowhere, which does not exist"]),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path, refusal, toml, words):
    """Bad TOML, a missing section, entry or folder, and a section that is no table have their own sentences."""
    (tmp_path / "dataset.toml").write_text(toml)
    sentence = refusal(tmp_path)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('itm_id = "what"\n', ["no entry interactions.itm_id", "Did you mean interactions.item_id?"]),
        ('[users]\nfile = "users.csv"\n', ["no table of users", "context of [interactions]"]),
        ('event_type = ["kind"]\n', ["interactions.event_type is one text"]),
        ('context = ["a", "b", "c", "d", "e"]\n', ["interactions.context is a list of at most 4 columns"]),
        ('timestamp_format = "day first"\n', ["interactions.timestamp_format is", '"%d/%m/%Y', "not 'day first'"]),
        ('timezone = "Berlin"\n', ["interactions.timezone is", '"Europe/Berlin"', "not 'Berlin'"]),
        ('value = "when"\n', ["both timestamp and value name the column 'when'"]),
        (f"{ITEMS}categorical = 3\n", ['items.categorical is a list of columns of the items table, such as ["brand"]']),
        (f'{ITEMS}title = "name"\nnumeric = ["title"]\n', ["'title' is a name that Tandem gives to another column"]),
        (f"{ITEMS}available_values = {{ so = true, So_ = false }}\n", ['"so" and "So_" different truths']),
        (f'{PRICED}[features]\nitems = ["prize"]\n', ["'prize', which is no column in numeric", "are price, sale."]),
        (f'{PRICED}[features]\nitems = ["brand"]\n', ["names 'brand'", "numeric or boolean of [items]"]),
        ('[evaluation]\nlabels_from = "soon"\n', ["evaluation.labels_from is a date or a time", "not 'soon'"]),
        ('[settings]\nexclude_seen = "false"\n', ["settings.exclude_seen is true, false or a table", "without quotes"]),
        ("[settings]\nexclude_seen = {types = []}\n", ["settings.exclude_seen: types is empty", "false hides nothing"]),
        ("[settings]\nexclude_seen = {days = 1e300}\n", ["days is a number above 0, from a minute", "100 years"]),
        ('[settings]\nhorizon = "month"\n', ['settings.horizon is "next"', "not 'month'"]),
        (f"{TYPES}[events]\nweights = {{view = 0}}\n", ["events.weights is a number above 0", "belongs in negative"]),
        (
            f'{TYPES}[events]\nweights = {{buy = 1}}\nnegative = ["buy"]\n',
            ["both weights and negative name the event type 'buy'"],
        ),
        (
            f'{TYPES}[events]\ntarget = ["impression"]\n',
            ["events.target: 'impression' is", "Take the type out"],
        ),
        (f'{TYPES}[events]\nweigh_by_value = ["buy"]\n', ["weigh_by_value", "needs a column of values"]),
        ('[events]\ntarget = ["buy"]\n', ["[events] needs a column of event types", "[interactions]"]),
        (
            f'{TYPES}[settings]\nexclude_seen = {{types = ["buy"]}}\n[events]\nignored = ["buy"]\n',
            ["types of exclude_seen", "'buy'", "[events] ignores"],
        ),
    ],
)
def test_a_wrong_entry_is_named(shop, refusal, more, words):
    """A mapping that differs from what its author meant is refused by the dotted name of the entry."""
    sentence = refusal(shop(rows(), more))
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty", "header"]),
        ("who,what,when\n", ["no rows"]),
        ("who,what,when\n1,2,never\n2,3,soon\n3,4,1700000000\n", ["timestamp", "dataset.toml"]),
        ("who,what,moment\n1,2,3\n", ["no column 'when'", "Set timestamp in [interactions]", "moment"]),
        ("who;what;when\n1;2;3\n", ["semicolons", "'who;what;when'", "with commas"]),
    ],
)
def test_an_unusable_table_names_the_column_and_the_fix(shop, refusal, text, words):
    """An empty, header-only, mostly bad or column-less file is one sentence."""
    sentence = refusal(shop(text))
    assert all(word in sentence for word in words), sentence


def test_a_file_that_is_not_there_or_not_utf8_is_named(shop, refusal, tmp_path):
    """The folder of --data, the file of a section, and the encoding each have a sentence."""
    assert "nowhere" in refusal(tmp_path / "nowhere")
    folder = shop(rows())
    (folder / "log.csv").write_bytes("who,what,when\nMüller,1,1700000000\n".encode("latin-1"))
    assert "is not UTF-8" in (sentence := refusal(folder))
    assert "Export it as UTF-8." in sentence
    (folder / "log.csv").unlink()
    assert "log.csv, which does not exist" in refusal(folder)
