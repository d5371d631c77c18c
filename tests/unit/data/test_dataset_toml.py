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
        ("name = ' '", ["name is one text"]),
        ("name = 'x'", ["The section [interactions] is missing"]),
        ('[collected]\nevents = "yes"', ["toml: collected.events is true or false, without quotes, not 'yes'."]),
        ("interactions = 3", ["interactions is a table"]),
        ("[interactions]\nfile='a'\nuser_id='u'", ["interactions.item_id is missing; add a line such as item_id ="]),
        ("training = 3\n" + TOML, ["[training] of", "dataset.toml: this is a table of fields"]),
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
        ('horizon = "all"\n', ["no entry interactions.horizon", "Did you mean settings.horizon?"]),
        ('[users]\nfile = "users.csv"\n', ["no table of users", "context of [interactions]"]),
        ("[setings]\n", ["no entry setings", "Did you mean settings?"]),
        ('event_type = ["kind"]\n', ["interactions.event_type is one text"]),
        ('decimal = [","]\n', ['interactions.decimal is "." or ",", not [\',\']']),
        ('duplicates = "no"\n', ['interactions.duplicates is "drop" or "keep", not \'no\'']),
        ('context = ["a", "b", "c", "d", "e"]\n', ["interactions.context is a list of at most 4 columns"]),
        ('timestamp_format = "day first"\n', ["interactions.timestamp_format is", '"%d/%m/%Y', "not 'day first'"]),
        ('timestamp_format = "%H:%M"\n', ["interactions.timestamp_format is", "year, month and day", "'%H:%M'"]),
        ('timezone = "Berlin"\n', ["interactions.timezone is", '"Europe/Berlin"', "not 'Berlin'"]),
        ('value = "when"\n', ["both timestamp and value name the column 'when'"]),
        ('context = ["who"]\n', ["both user_id and context name the column 'who'"]),
        ('context = ["device", "device"]\n', ["both context and context name the column 'device'"]),
        (f'{ITEMS}separator = ""\n', ["items.separator is one text"]),
        (f"{ITEMS}categorical = 3\n", ['items.categorical is a list of columns of the items table, such as ["brand"]']),
        (f'{ITEMS}categorical = ["what"]\n', ["both item_id and categorical name the column 'what'"]),
        (f'{ITEMS}categorical = ["brand", "brand"]\n', ["both categorical and categorical name the column 'brand'"]),
        (f'{ITEMS}available = "stock"\nboolean = ["stock"]\n', ["both available and boolean name the column 'stock'"]),
        (f'{ITEMS}title = "name"\nnumeric = ["title"]\n', ["'title' is a name that Tandem gives to another column"]),
        (f"{ITEMS}available_values = {{ yes = 1 }}\n", ["items.available_values is true or false for each word"]),
        (f"{ITEMS}available_values = {{ so = true, So_ = false }}\n", ['"so" and "So_" different truths']),
        (f'{PRICED}[features]\nitems = ["prize"]\n', ["'prize', which is no column in numeric", "are price, sale."]),
        (f'{PRICED}[features]\nitems = ["brand"]\n', ["names 'brand'", "numeric or boolean of [items]"]),
        (f'{PRICED}[features]\nitems = ["sale", "sale"]\n', ["items in [features] names 'sale' twice"]),
        ('[features]\nitems = ["price"]\n', ["names 'price'", "there are none"]),
        (f'{PRICED}[features]\nitems = "price"\n', ["features.items is a list of at most 8 columns", "not 'price'"]),
        (f'{PRICED}[features]\nusers = ["age"]\n', ["no entry features.users"]),
        ('[evaluation]\nlabels_from = "soon"\n', ["evaluation.labels_from is a date or a time", "not 'soon'"]),
        ('[settings]\nexclude_seen = "false"\n', ["settings.exclude_seen is true, false or a table", "without quotes"]),
        ("[settings]\nexclude_seen = {kinds = []}\n", ["no entry settings.exclude_seen.kinds", "types, days"]),
        ("[settings]\nexclude_seen = {types = []}\n", ["settings.exclude_seen: types is empty", "false hides nothing"]),
        ("[settings]\nexclude_seen = {days = 1e300}\n", ["days is a number above 0, from a minute", "100 years"]),
        ('[settings]\nhorizon = "month"\n', ['settings.horizon is "next"', "not 'month'"]),
        (f"{TYPES}[events]\nweights = {{view = 0}}\n", ["events.weights is a number above 0", "belongs in negative"]),
        (f"{TYPES}[events]\nweights = {{view = 1e308}}\n", ["events.weights is", "1,000,000"]),
        (f'{TYPES}[events]\ntarget = "buy"\n', ['events.target is a list of event types such as ["purchase"]']),
        (f'{TYPES}[events]\nunknown = "drop"\n', ['events.unknown is "accept" or "refuse", not \'drop\'']),
        (
            f'{TYPES}[events]\nweights = {{buy = 1}}\nnegative = ["buy"]\n',
            ["both weights and negative name the event type 'buy'"],
        ),
        (
            f'{TYPES}[events]\ntarget = ["impression"]\n',
            ["events.target: 'impression' is", "Take the type out"],
        ),
        (
            f'{TYPES}[settings]\nexclude_seen = {{types = ["impression"]}}\n',
            ["exclude_seen.types: 'impression' is the type"],
        ),
        (f'{TYPES}[events]\nweigh_by_value = ["buy"]\n', ["weigh_by_value", "needs a column of values"]),
        ('[events]\ntarget = ["buy"]\n', ["[events] needs a column of event types", "[interactions]"]),
        ('[settings]\nexclude_seen = {types = ["buy"]}\n', ["types of exclude_seen", "needs a column of event types"]),
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
