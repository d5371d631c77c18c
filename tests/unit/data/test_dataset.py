"""The data contract: what a dataset may look like, and what is said where it can't be used."""

import numpy as np
import pandas as pd
import pytest

from recsys.errors import DatasetError
from training.data.dataset import read
from training.data.interaction_log import encode

MAPPING = """
name = "shop"
[interactions]
file = "{file}"
user_id = "who"
item_id = "what"
timestamp = "when"
"""


@pytest.fixture
def shop(tmp_path):
    """Write a dataset of one table and return its folder."""

    def write(frame, file="log.csv", more=""):
        (tmp_path / "dataset.toml").write_text(MAPPING.format(file=file) + more)
        if isinstance(frame, str):
            (tmp_path / file).write_text(frame)
        elif file.endswith(".parquet"):
            frame.to_parquet(tmp_path / file)
        else:
            frame.to_csv(tmp_path / file, index=False)
        return tmp_path

    return write


def rows(count=20, **columns):
    """A good log of `count` rows."""
    return pd.DataFrame(
        {"who": range(count), "what": range(100, 100 + count), "when": range(1_700_000_000, 1_700_000_000 + count)}
        | columns
    )


@pytest.mark.parametrize("file", ["log.csv", "log.csv.gz", "log.parquet"])
def test_reads_each_format(shop, file):
    """CSV, compressed CSV and Parquet give the same table."""
    table = read(shop(rows(), file)).interactions
    assert table["user_id"].tolist() == list(range(20))
    assert table["timestamp"].iloc[0] == 1_700_000_000.0


def test_bad_rows_are_set_aside_with_their_reason(shop, tmp_path):
    """A row without an id or with no time leaves for the quarantine file and is counted under its reason."""
    frame = rows().astype({"who": "object", "when": "object"})
    frame.loc[3, "who"] = None
    frame.loc[5, "when"] = "yesterday"
    dataset = read(shop(frame), tmp_path / "quarantine")
    assert len(dataset.interactions) == 18
    assert dataset.bad_rows == 2
    aside = pd.read_csv(tmp_path / "quarantine" / "interactions.csv")
    assert aside["row"].tolist() == [3, 5]
    assert aside["timestamp_given"].tolist()[1] == "yesterday"
    assert aside["reason"].str.contains("user_id").tolist() == [True, False]
    assert aside["reason"].str.contains("timestamp").tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty", "header"]),
        ("who,what,when\n", ["no rows"]),
        ("who,what,when\n1,2,never\n2,3,soon\n3,4,1700000000\n", ["timestamp", "mapping"]),
        ("who,what,moment\n1,2,3\n", ["'when'", "timestamp", "moment"]),
        ("who;what;when\n1;2;3\n", ["semicolons", "'who;what;when'", "with commas"]),
    ],
)
def test_an_unusable_table_names_the_column_and_the_fix(shop, text, words):
    """An empty, header-only, mostly bad or column-less file stops with a sentence that names what to mend."""
    with pytest.raises(DatasetError) as error:
        read(shop(text))
    assert all(word in str(error.value) for word in words)


def test_a_file_of_another_encoding_is_refused(shop, tmp_path):
    """A file that is not UTF-8 stops with a sentence that names UTF-8."""
    shop(rows())
    (tmp_path / "log.csv").write_bytes("who,what,when\nMüller,1,1700000000\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"is not UTF-8 .* Export it as UTF-8"):
        read(tmp_path)


def test_a_missing_folder_and_a_missing_file_are_named(shop, tmp_path):
    """A path that is not there is named, whether given on the command line or in the mapping."""
    with pytest.raises(DatasetError, match="nowhere"):
        read(tmp_path / "nowhere")
    folder = shop(rows())
    (folder / "log.csv").unlink()
    with pytest.raises(DatasetError, match=r"log\.csv, which does not exist"):
        read(folder)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("name = ", "TOML"),
        ("name = ' '", "name is one text"),
        ("name = 'x'", "interactions"),
        ("[interactions]\nfile='a'\nuser_id='u'", "item_id"),
    ],
)
def test_a_broken_mapping_says_what_it_lacks(tmp_path, text, word):
    """Bad TOML, a missing section and a missing entry each get their own sentence."""
    (tmp_path / "dataset.toml").write_text(text)
    with pytest.raises(DatasetError, match=word):
        read(tmp_path)


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        (["7", "12"], [7, 12]),
        (["007", "12"], ["007", "12"]),
        (["a b", "ü"], ["a b", "ü"]),
        (["1.5", "2"], ["1.5", "2"]),
        (["123456789012345678901", "2"], ["123456789012345678901", "2"]),
    ],
)
def test_ids_stay_as_they_came(shop, ids, kept):
    """Plain integers are integers; leading zeros, words, fractions and long numbers stay text."""
    table = read(shop("who,what,when\n" + "".join(f"{i},{i},170000000{n}\n" for n, i in enumerate(ids)))).interactions
    assert table["item_id"].tolist() == kept
    assert table["user_id"].tolist() == kept


@pytest.mark.parametrize("kind", ["str", "category"])
@pytest.mark.parametrize("table", ["items.parquet", "items.csv"])
def test_text_ids_of_parquet_stay_text(shop, tmp_path, kind, table):
    """An ISBN is no number where the file says so, and it is one item with the same digits of a CSV."""
    frame = rows(what=[str(9_783_000_000_000 + row) for row in range(20)]).astype({"what": kind})
    items = frame[["what"]].assign(name="Seven")
    items.to_parquet(tmp_path / table) if table.endswith("parquet") else items.to_csv(tmp_path / table, index=False)
    section = f'[items]\nfile = "{table}"\nitem_id = "what"\ntitle = "name"\n'
    log = encode(read(shop(frame, "log.parquet", section)))
    assert log.catalogue.ids.tolist() == frame["what"].tolist()
    assert log.user_ids.tolist() == list(range(20))


def test_rows_of_one_second_keep_the_files_order(shop):
    """The log is sorted by time, and what shares a second keeps its order."""
    table = read(shop(rows(6, when=[5, 1, 5, 1, 5, 1]))).interactions
    assert table["user_id"].tolist() == [1, 3, 5, 0, 2, 4]


@pytest.mark.parametrize(
    "times",
    [
        ["2024-05-06T07:08:09Z", "2024-05-06 07:08:10+00:00"],
        ["1714979289000", "1714979290000"],
        ["1714979289", "1714979290"],
    ],
)
def test_times_are_dates_seconds_or_milliseconds(shop, times):
    """ISO dates, seconds and milliseconds all become unix seconds."""
    table = read(shop("who,what,when\n" + "".join(f"1,2,{t}\n" for t in times))).interactions
    assert table["timestamp"].tolist() == [1714979289.0, 1714979290.0]


NOON = 1_714_989_600.0  # 2024-05-06 10:00 UTC


@pytest.mark.parametrize(
    ("cell", "settings"),
    [
        ("1714989600000000", ""),
        ("1.7149896e9", ""),
        ("2024-05-06T12:00:00.000+02:00", 'timezone = "America/New_York"'),
        ("2024-05-06 12:00", 'timezone = "Europe/Berlin"'),
        ("2024-05-06 12:00", 'timezone = "Europe/Berlin"\ntimestamp_format = "iso8601"'),
        ("06.05.24 12:00", 'timezone = "Europe/Berlin"\ntimestamp_format = "%d.%m.%y %H:%M"'),
        ("05/06/2024 06:00 AM -0400", 'timestamp_format = "%m/%d/%Y %I:%M %p %z"'),
        ("6 May 2024 10:00:00 GMT", 'timestamp_format = "%d %b %Y %H:%M:%S %Z"'),
    ],
)
def test_a_time_is_read_by_its_format_and_zone(shop, cell, settings):
    """One moment in the notations that are known or stated; an offset in the cell goes before the stated zone."""
    folder = shop(f"who,what,when\n1,2,{cell}\n1,3,{cell}\n", more=settings)
    assert read(folder).interactions["timestamp"].tolist() == [NOON, NOON]


def test_times_of_parquet_have_no_format(shop):
    """A column of times without a zone is of the stated one, else UTC; one with a zone keeps it."""
    times = pd.Series(pd.to_datetime(["2024-05-06 12:00"] * 20))
    here = 'timezone = "Europe/Berlin"'
    assert read(shop(rows(when=times), "log.parquet", here)).interactions["timestamp"][0] == NOON
    assert read(shop(rows(when=times), "log.parquet")).interactions["timestamp"][0] == NOON + 7_200
    aware = times.dt.tz_localize("Asia/Tokyo")
    assert read(shop(rows(when=aware), "log.parquet", here)).interactions["timestamp"][0] == NOON - 25_200


def test_a_boolean_column_and_numbers_to_filter_by(shop, tmp_path):
    """Truths in the words that stock has, numbers as they stand; an empty cell is missing, and nothing is rounded."""
    cells = ["yes", "FALSE", "", "1"]
    table = pd.DataFrame({"what": [100, 101, 102, 103], "sale": cells, "price": ["19.99", "", "-3", "1e3"]})
    table.to_csv(tmp_path / "items.csv", index=False)
    section = '[items]\nfile = "items.csv"\nitem_id = "what"\nnumeric = ["price"]\nboolean = ["sale"]\n'
    catalogue = encode(read(shop(rows(), more=section))).catalogue
    assert (catalogue.spec.numbers, catalogue.spec.booleans) == (("price", "sale"), ("sale",))
    np.testing.assert_array_equal(catalogue.numbers[:4, 0], [19.99, np.nan, -3, 1000])
    np.testing.assert_array_equal(catalogue.numbers[:4, 1], [1, 0, np.nan, 1])
    assert np.isnan(catalogue.numbers[4:]).all()
    assert {"sale=true", "sale=false"} < set(catalogue.spec.tokens)
    table.assign(sale=["yes", "maybe", "oui", ""]).to_csv(tmp_path / "items.csv", index=False)
    with pytest.raises(DatasetError, match=r"'sale'.*row 1 'maybe' and row 2 'oui'.*categorical"):
        read(shop(rows(), more=section))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            'available = "stock"\nboolean = ["stock"]',
            "boolean in .items. names 'stock', which already is its available",
        ),
        ('numeric = ["price"]\nboolean = ["price"]', "names 'price', which already is its numeric"),
        ('boolean = "sale"', "boolean in .items. is a list"),
        ('title = "what"', "item_id and title in .items. both name the column 'what'"),
        ('categorical = ["brand", "what"]', "names 'what', which already is its item_id"),
        ('categorical = ["brand", "brand"]', "names 'brand', which already is its categorical"),
        ('title = "name"\ncategorical = ["title"]', "names 'title', a name that Tandem gives"),
    ],
)
def test_a_column_of_the_items_has_one_meaning(shop, more, words):
    """In two roles one of them would be lost without a word: the stock, say."""
    with pytest.raises(DatasetError, match=words):
        read(shop(rows(), more=f'[items]\nfile = "items.csv"\nitem_id = "what"\n{more}\n'))


@pytest.mark.parametrize(
    ("cells", "settings", "words"),
    [
        (["20240506", "20240507"], "", ["'when'", "row 0 '20240506'", "row 1 '20240507'", '"%Y%m%d"']),
        (["6 Jun 2024", "7 Jun 2024"], "", ["'when'", "row 0 '6 Jun 2024'", "row 1", '"%d %b %Y"']),
        (["06.05.24 9:00", "07.05.24 9:00"], "", ["'when'", "row 0", "row 1", '"%d.%m.%y %H:%M"']),
        (["13/05/2024", "05/13/2024"], "", ["'when'", "'13/05/2024'", "'05/13/2024'", "No format"]),
        (["2024-05-06T09:00", "2024-05-06T09:00Z"], "", ["'when'", "row 1", "row 0", "timezone"]),
        (["now", "today"], "", ["'when'", "row 0 'now'", "row 1 'today'", "timestamp_format"]),
        (["2024-05-06", "2024-05-07"], 'timestamp_format = "unix"', ["'when'", "row 0", "row 1", "timestamp_format"]),
        (["1714989600", "1714989601"], 'timestamp_format = "unix_ms"', ["'when'", "row 0", "row 1"]),
        (["2024-05-06"] * 2, 'timestamp_format = "%d/%m/%Y"', ["2 of 2 times", '"iso8601" in', "every row fits it"]),
        (["1714989600"] * 2, 'timestamp_format = "iso8601"', ["row 0 '1714989600'", '"unix" in']),
        (["05/13/2024", "05/14/2024"], 'timestamp_format = "%d/%m/%Y"', ["row 0", '"%m/%d/%Y" in', "every row fits"]),
        (["13.05.2024", "05.06.2024"], 'timestamp_format = "unix"', ["row 0 '13.05.2024'", 'format = "%d.%m.%Y"']),
        (["1714989600"], 'timestamp_format = "day first"', ["timestamp_format", "'day first'"]),
        (["1714989600"], 'timestamp_format = "%H:%M"', ["timestamp_format", "'%H:%M'"]),
        (["1714989600"], 'timezone = "Berlin"', ["timezone", "'Berlin'"]),
        (["1714989600"], 'duplicates = "no"', ["duplicates", "'no'"]),
        (["1714989600"], 'decimal = ";"', ["decimal", "';'"]),
    ],
)
def test_a_time_that_has_to_be_stated_is_refused(shop, cells, settings, words):
    """The sentence names the column, two rows and the setting; a setting that means nothing is named."""
    folder = shop("who,what,when\n" + "".join(f"1,{row},{cell}\n" for row, cell in enumerate(cells)), more=settings)
    with pytest.raises(DatasetError) as error:
        read(folder)
    assert all(word in str(error.value) for word in words), error.value


def test_a_value_that_is_no_number_leaves_its_row(shop, tmp_path):
    """An event counts although its value is odd; the value is counted, written down and shown to the gate."""
    frame = rows(**{"worth/EUR": ["1.5"] * 20})
    frame.loc[3, "worth/EUR"], frame.loc[4, "worth/EUR"] = "12,50", ""
    dataset = read(shop(frame, more='value = "worth/EUR"'), tmp_path / "quarantine")
    assert dataset.bad_values == {"interactions": {"worth/EUR: not a number": 1}}
    shown = dataset.examples["values of interactions, worth/EUR: not a number"]
    assert shown == "The column 'worth/EUR': row 3 '12,50'"
    assert dataset.interactions["value"].isna().tolist() == [row in (3, 4) for row in range(20)]
    (aside,) = pd.read_csv(tmp_path / "quarantine" / "interactions-values-worth-EUR.csv").to_dict("records")
    assert aside == {"row": 3, "worth/EUR": "12,50", "reason": "not a number"}


@pytest.mark.parametrize(
    ("cells", "more", "words"),
    [
        (["3", "0", "17", "1"], "", ["'stock'", "row 0 '3'", "row 2 '17'", "available_values", "pieces"]),
        (["", "", "", ""], "", ["'stock'", "row 0 ''", "empty"]),
        (["yes"] * 4, "available_values = { yes = 1 }", ["available_values"]),
        (["yes"] * 4, "available_values = { so = true, So_ = false }", ['"so" and "So_" different truths']),
    ],
)
def test_stock_that_is_neither_yes_nor_no_is_refused(shop, tmp_path, cells, more, words):
    """By column, value and row."""
    pd.DataFrame({"what": [100, 101, 102, 103], "stock": cells}).to_csv(tmp_path / "items.csv", index=False)
    section = f'[items]\nfile = "items.csv"\nitem_id = "what"\navailable = "stock"\n{more}\n'
    with pytest.raises(DatasetError) as error:
        read(shop(rows(), more=section))
    assert all(word in str(error.value) for word in words), error.value


def test_item_ids_meet_across_tables(shop):
    """An item whose id is a number in the log and text in the items table is one item, with its title."""
    folder = shop(rows(3, what=[7, 8, 9]), more='[items]\nfile = "items.csv"\nitem_id = "id"\ntitle = "name"\n')
    (folder / "items.csv").write_text("id,name\n7,Seven\nx,Other\n")
    log = encode(read(folder))
    assert log.catalogue.ids.tolist() == ["7", "x", "8", "9"]
    assert log.catalogue.titles[log.items[0]] == "Seven"
    assert log.items.tolist() == [0, 2, 3]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_dates_that_mean_no_date_are_set_aside(shop, zone):
    """Databases export no date as the first or the last day of the calendar."""
    cells = ["0001-01-01T00:00:00", *["2026-09-01T10:00:00"] * 18, "9999-12-31T23:59:59"]
    dataset = read(shop(rows(when=cells), more=f'timezone = "{zone}"\n'))
    assert dataset.quarantined == {"interactions": {"timestamp: not a time": 1, "timestamp: in the future": 1}}


def test_a_time_to_come_or_without_end_is_set_aside(shop):
    """One of them would move the log's end, and every popularity window with it."""
    frame = rows().astype({"when": "object"})
    frame.loc[3, "when"], frame.loc[5, "when"] = 90_000_000_000, "inf"
    dataset = read(shop(frame))
    assert dataset.quarantined == {"interactions": {"timestamp: in the future": 1, "timestamp: not a time": 1}}


def test_a_line_with_too_many_fields_is_counted(shop, tmp_path):
    """No row is dropped in silence."""
    dataset = read(shop("who,what,when\n1,2,1700000000\n1,2,3,4,5\n1,4,1700000001\n"), tmp_path / "quarantine")
    assert len(dataset.interactions) == 2
    assert dataset.quarantined["interactions"] == {"too many fields": 1}
    assert pd.read_csv(tmp_path / "quarantine" / "interactions-lines.csv")["line"].tolist() == [3]


def test_a_file_may_have_columns_of_tandems_names(shop, tmp_path):
    """A column that the mapping does not name is not read, whatever its name is."""
    table = pd.DataFrame({"what": range(100, 120), "name": "Seven", "title": "Dr", "item_id": 1, "available": "no"})
    table.to_csv(tmp_path / "items.csv", index=False)
    section = '[items]\nfile = "items.csv"\nitem_id = "what"\ntitle = "name"\n'
    found = read(shop(rows(user_id=1, timestamp=2, event_type="x"), more=section))
    assert found.items.columns.tolist() == ["item_id", "title"]
    assert (found.items["item_id"][0], found.items["title"][0]) == (100, "Seven")
    assert found.interactions["user_id"].tolist() == list(range(20))


def test_ids_called_null_or_na_are_ids(shop):
    """Only an empty field is missing."""
    frame = rows().astype({"what": "object"})
    frame.loc[3, "what"], frame.loc[4, "what"] = "NA", "null"
    dataset = read(shop(frame))
    assert {"NA", "null", "100"} <= set(dataset.interactions["item_id"])
    assert dataset.bad_rows == 0


def test_integer_ids_beside_a_missing_one_stay_integers(shop):
    """Parquet makes such a column one of floats; 1 must not become "1.0"."""
    frame = rows().astype({"who": "float64"})
    frame.loc[3, "who"] = None
    dataset = read(shop(frame, "log.parquet"))
    assert dataset.interactions["user_id"].tolist()[:3] == [0, 1, 2]
    assert dataset.interactions["user_id"].dtype == "int64"


ITEMS = """
[items]
file = "items.parquet"
item_id = "what"
categories = "kinds"
categorical = ["brand"]
numeric = ["price"]
"""


def test_item_columns_mean_what_the_mapping_says(shop, tmp_path):
    """Integers in a categorical column are names, lists are lists, and what is missing is no value of its own."""
    pd.DataFrame(
        {
            "what": [100, 101, 102],
            "kinds": [["a", "b"], [], ["a"]],
            "brand": [7, None, 9],
            "price": [1.0, 2.0, None],
        }
    ).to_parquet(tmp_path / "items.parquet")
    dataset = read(shop(rows(), more=ITEMS))
    spec = encode(dataset).catalogue.spec
    assert {"categories=a", "categories=b", "brand=7.0", "brand=9.0"} <= set(spec.tokens)
    assert not any("nan" in token.lower() or "none" in token.lower() for token in spec.tokens)
    assert list(spec.edges) == ["price"]


def test_categories_that_are_integers_are_kept(shop, tmp_path):
    """A shop's category numbers describe its items as well as names would."""
    pd.DataFrame({"what": [100, 101], "kinds": [3, 4], "brand": [5, 6], "price": [1, 2]}).to_parquet(
        tmp_path / "items.parquet"
    )
    tokens = set(encode(read(shop(rows(), more=ITEMS))).catalogue.spec.tokens)
    assert {"categories=3", "categories=4", "brand=5"} <= tokens


@pytest.mark.parametrize("entry", ["categorical", "numeric"])
@pytest.mark.parametrize("cells", [[True, False], [True, None]])
def test_truths_of_parquet_belong_in_boolean(shop, tmp_path, entry, cells):
    """In another list they are refused with that; in boolean they are read."""
    pd.DataFrame({"what": [100, 101], "sale": cells}).to_parquet(tmp_path / "items.parquet")
    section = f'[items]\nfile = "items.parquet"\nitem_id = "what"\n{entry} = ["sale"]\n'
    with pytest.raises(DatasetError, match=rf"'sale' of .*row 0 'True' .* {entry} in .* Move it to boolean\."):
        read(shop(rows(), more=section))
    assert read(shop(rows(), more=section.replace(entry, "boolean"))).items["sale"].tolist() == cells


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ('[settings]\nexclude_seen = "false"\n', "exclude_seen"),
        ('[settings]\nhorizon = "month"\n', "horizon"),
        ('[settings]\nhorizon = ["all"]\n', "horizon"),
        ('[settings]\nsearch = "near"\n', r"'search' in '\[settings\]'; Every search is exact\. Delete this line\."),
        ("[settings]\nexclude_sen = false\n", "exclude_sen"),
        ('[items]\nfile = "x"\nitem_id = "y"\ncatgories = "z"\n', "catgories"),
        ('horizon = "all"\n', r"'horizon' in '\[interactions\]'; it belongs in \[settings\]"),
        ('["horizon"]\n', r"'horizon'; it belongs in \[settings\]"),
        ("[setings]\n", r"'setings'; docs/data.md lists what it may hold\."),
        ('event_type = ["what"]\n', "event_type in .* is one text"),
        ('value = "when"\n', "timestamp and value in .* both name the column 'when'"),
        ('decimal = [","]\n', "decimal in"),
        ('[items]\nfile = "i"\nitem_id = "id"\ncategorical = 3\n', r"categorical in \[items\] is a list"),
        ('[items]\nfile = "i"\nitem_id = "id"\ncategorical = ["id"]\n', "already is its item_id"),
        ('[users]\nfile = "u"\nuser_id = "id"\n', r"'users'; .* Delete the section .* context of \[interactions\]\.$"),
        ('[items]\nfile = "x"\nitem_id = "y"\nseparator = ""\n', "separator in .* is one text"),
        ('duplicates = ["keep"]\n', "duplicates in"),
        ('event_type = "who"\n', "user_id and event_type in .* both name the column 'who'"),
        ('[items]\nfile = "i"\nitem_id = "id"\ncategorical = ["item_id"]\n', "names 'item_id', a name that Tandem"),
    ],
)
def test_a_misspelt_entry_is_named(shop, more, word):
    """A mapping that says something else than its author meant must not train in silence."""
    with pytest.raises(DatasetError, match=word):
        read(shop(rows(), more=more))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("2000-12-21", 977_356_800),
        ("'2000-12-21'", 977_356_800),
        ("2000-12-21T02:00:00+02:00", 977_356_800),
        ("2000-12-21T00:00:30", 977_356_830),
    ],
)
def test_the_moment_of_the_test_may_be_stated(shop, said, seconds):
    """As a date, a time or text, in UTC where it names no zone."""
    assert read(shop(rows(), more=f"[evaluation]\ntest_from = {said}\n")).moments.test_from == seconds


def test_a_moment_that_is_none_is_named(shop):
    """What is no date gets a sentence with the entry's name."""
    with pytest.raises(DatasetError, match=r"labels_from is a date or a time .* not soon"):
        read(shop(rows(), more='[evaluation]\nlabels_from = "soon"\n'))


def test_lists_where_one_value_is_wanted_are_named(shop, tmp_path):
    """A Parquet column of lists, taken for a single category or for a context, is a sentence with the column."""
    folder = shop(
        rows(),
        more=ITEMS.replace('categorical = ["brand"]', 'categorical = ["kinds"]').replace('categories = "kinds"\n', ""),
    )
    pd.DataFrame({"what": [100], "kinds": [["a", "b"]], "brand": ["x"], "price": [1.0]}).to_parquet(
        tmp_path / "items.parquet"
    )
    with pytest.raises(DatasetError, match="The column 'kinds' holds lists"):
        read(folder)


@pytest.mark.parametrize(("told", "protocol"), [("", "rolling"), ("next", "rolling"), ("all", "horizon")])
def test_the_horizon_says_how_models_are_taught(shop, told, protocol):
    """The next item, unless the dataset asks for all that users go on to."""
    more = f'[settings]\nhorizon = "{told}"\n' if told else ""
    assert read(shop(rows(), more=more)).protocol == protocol
