"""What a dataset may look like: formats of files, times, ids and items, and what happens to bad rows and values."""

import numpy as np
import pandas as pd
import pytest

from recsys.errors import DatasetError
from recsys.model.feature_spec import FeatureSpec
from tests.unit.data.small_log import rows
from training.encode.interaction_log import encode
from training.read.dataset import read

NOON = 1_714_989_600.0  # 2024-05-06 10:00 UTC
ITEMS = '[items]\nfile = "items.csv"\nitem_id = "what"\n'


def test_bad_rows_are_set_aside_with_their_reason(shop, tmp_path):
    """A row without an id, without a time or of a time to come is counted, and written down as the file has it.

    One time in the far future would move the log's end. A line with too many fields is counted as well.
    """
    cells = {3: ("", 1), 5: ("5", "yesterday"), 7: ("7", 90_000_000_000), 9: ("9", "inf"), 11: ("11,2,3", 1)}
    good = [f"{row},{row},{1_700_000_000 + row}" for row in range(20)]
    lines = [f"{cells[row][0]},2,{cells[row][1]}" if row in cells else line for row, line in enumerate(good)]
    dataset = read(shop("\n".join(["who,what,when", *lines])), tmp_path / "quarantine")
    assert len(dataset.interactions) == 15
    assert dataset.notes.set_aside == {
        "interactions, too many fields": 1,
        "interactions, user_id: empty": 1,
        "interactions, timestamp: not a time": 2,
        "interactions, timestamp: in the future": 1,
    }
    aside = pd.read_csv(tmp_path / "quarantine" / "interactions.csv", dtype=str)
    assert aside["row"].tolist() == ["3", "5", "7", "9"]
    assert aside["timestamp_given"].tolist()[1] == "yesterday"
    assert aside["reason"].tolist()[:2] == ["user_id: empty", "timestamp: not a time"]
    assert pd.read_csv(tmp_path / "quarantine" / "interactions-lines.csv")["line"].tolist() == [13]


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        (["7", "12"], [7, 12]),
        (["007", "12"], ["007", "12"]),
        (["NA", "null"], ["NA", "null"]),
        (["123456789012345678901", "2"], ["123456789012345678901", "2"]),
    ],
)
def test_ids_stay_as_they_came(shop, ids, kept):
    """Plain integers are integers; leading zeros, words such as NA, fractions and long numbers stay text."""
    log = read(shop("who,what,when\n" + "".join(f"{i},{i},170000000{n}\n" for n, i in enumerate(ids)))).interactions
    assert log["item_id"].tolist() == log["user_id"].tolist() == kept


@pytest.mark.parametrize("kind", ["str", "category"])
def test_text_ids_of_parquet_stay_text(shop, tmp_path, kind):
    """An ISBN is no number if the file has text, and it is one item with the same digits of a CSV."""
    log = rows(what=[str(9_783_000_000_000 + row) for row in range(20)]).astype({"what": kind})
    log[["what"]].assign(name="Seven").to_csv(tmp_path / "items.csv", index=False)
    found = encode(read(shop(log, ITEMS + 'title = "name"\n', "log.parquet")))
    assert found.catalogue.ids.tolist() == log["what"].tolist()
    assert found.user_ids.tolist() == list(range(20))


def test_integer_ids_beside_a_missing_one_stay_integers(shop):
    """Parquet makes such a column one of floats; 1 must not become "1.0"."""
    log = rows().astype({"who": "float64"})
    log.loc[3, "who"] = None
    users = read(shop(log, file="log.parquet")).interactions["user_id"]
    assert (users.tolist()[:3], users.dtype) == ([0, 1, 2], "int64")


@pytest.mark.parametrize(
    ("cell", "settings"),
    [
        ("1714989600", ""),
        ("1714989600000", ""),
        ("2024-05-06T10:00:00Z", ""),
        ("2024-05-06T12:00:00.000+02:00", 'timezone = "America/New_York"'),
        ("2024-05-06 12:00", 'timezone = "Europe/Berlin"'),
        ("06.05.24 12:00", 'timezone = "Europe/Berlin"\ntimestamp_format = "%d.%m.%y %H:%M"'),
        ("05/06/2024 06:00 AM -0400", 'timestamp_format = "%m/%d/%Y %I:%M %p %z"'),
    ],
)
def test_a_time_is_read_by_its_format_and_zone(shop, cell, settings):
    """One moment in the notations that are detected or stated; an offset in the cell goes before the stated zone."""
    folder = shop(f"who,what,when\n1,2,{cell}\n1,3,{cell}\n", settings)
    assert read(folder).interactions["timestamp"].tolist() == [NOON, NOON]


@pytest.mark.parametrize(
    ("cells", "settings", "words"),
    [
        (["20240506", "20240507"], "", ["row 0 '20240506'", "row 1 '20240507'", '"%Y%m%d"']),
        (["13/05/2024", "05/13/2024"], "", ["'13/05/2024'", "'05/13/2024'", "No format"]),
        (["2024-05-06T09:00", "2024-05-06T09:00Z"], "", ["row 1", "row 0", "timezone"]),
        (["0", "2024-05-06", "06.05.2024"], "", ["2 formats", "row 1 '2024-05-06'", "row 2 '06.05.2024'"]),
        (["1714989600", "1714989601000"], "", ["seconds since 1970", "row 0", "milliseconds", "row 1", 'at = "unix']),
        (["2024-05-06"] * 2, 'timestamp_format = "unix"', ["2 of 2 rows", "row 0 '2024-05-06'", "timestamp_format"]),
        (
            ["13/05/2024"] * 2,
            'timestamp_format = "%m/%d/%Y"',
            ["2 of 2 rows", "row 0 '13/05/2024'", "timestamp_format"],
        ),
    ],
)
def test_a_time_whose_format_has_to_be_stated_is_refused(shop, refusal, cells, settings, words):
    """The sentence names the column, two rows and the setting."""
    text = "who,what,when\n" + "".join(f"1,{row},{cell}\n" for row, cell in enumerate(cells))
    sentence = refusal(shop(text, settings))
    assert all(word in sentence for word in ["'when'", *words]), sentence


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_dates_that_mean_no_date_are_set_aside(shop, zone):
    """Databases export no date as 0, or as the first or the last day of the calendar."""
    cells = ["0001-01-01T00:00:00", *["2026-09-01T10:00:00"] * 17, "0", "9999-12-31T23:59:59"]
    notes = read(shop(rows(when=cells), f'timezone = "{zone}"\n')).notes
    assert notes.set_aside == {
        "interactions, timestamp: not a time": 2,
        "interactions, timestamp: in the future": 1,
    }


def test_a_value_that_is_no_number_leaves_its_row(shop, tmp_path):
    """An event counts although its value is odd; the value is counted, written down and shown by the gate."""
    log = rows(**{"worth/EUR": ["1.5"] * 20})
    log.loc[3, "worth/EUR"], log.loc[4, "worth/EUR"] = "12,50", ""
    dataset = read(shop(log, 'value = "worth/EUR"'), tmp_path / "quarantine")
    assert dataset.notes.set_aside == {"values of interactions, worth/EUR: not a number": 1}
    shown = dataset.notes.examples["values of interactions, worth/EUR: not a number"]
    assert shown == "The column 'worth/EUR': row 3 '12,50'"
    assert dataset.interactions["value"].isna().tolist() == [row in (3, 4) for row in range(20)]
    (aside,) = pd.read_csv(tmp_path / "quarantine" / "interactions-values-worth-EUR.csv").to_dict("records")
    assert aside == {"row": 3, "worth/EUR": "12,50", "reason": "not a number"}


def test_columns_to_filter_by(shop, tmp_path):
    """Yes or no in the words that stock has, numbers without rounding; an empty cell is missing, words are named."""
    table = pd.DataFrame(
        {"what": range(100, 104), "sale": ["yes", "FALSE", "", "1"], "price": ["19.99", "", "-3", "1e3"]}
    )
    table.to_csv(tmp_path / "items.csv", index=False)
    section = ITEMS + 'numeric = ["price"]\nboolean = ["sale"]\n'
    catalogue = encode(read(shop(rows(), section))).catalogue
    assert (catalogue.spec.numbers, catalogue.spec.booleans) == (("price", "sale"), ("sale",))
    np.testing.assert_array_equal(catalogue.numbers[:4, 0], [19.99, np.nan, -3, 1000])
    np.testing.assert_array_equal(catalogue.numbers[:4, 1], [1, 0, np.nan, 1])
    assert np.isnan(catalogue.numbers[4:]).all()
    assert {"sale=true", "sale=false"} < set(catalogue.spec.tokens)
    table.assign(sale=["yes", "maybe", "oui", ""]).to_csv(tmp_path / "items.csv", index=False)
    with pytest.raises(DatasetError, match=r"'sale'.*row 1 'maybe' and row 2 'oui'.*categorical"):
        read(shop(rows(), section))


def test_columns_that_are_features(shop, tmp_path, refusal):
    """Yes is 1, an item without a value has the mean of the others; a column of one value is named."""
    table = pd.DataFrame({"what": range(100, 104), "sale": ["yes", "no", "", "no"], "price": ["20", "", "-2", "1e300"]})
    table.to_csv(tmp_path / "items.csv", index=False)
    section = ITEMS + 'numeric = ["price"]\nboolean = ["sale"]\n[features]\nitems = ["sale", "price"]\n'
    catalogue = encode(read(shop(rows(), section))).catalogue
    values = catalogue.spec.own_values(catalogue.numbers)
    np.testing.assert_allclose(values[:, 0], [1, 0, 1 / 3, 0] + 16 * [1 / 3])
    np.testing.assert_allclose(values[:4, 1], [20, 1e30, -2, 1e30], rtol=1e-6)
    assert FeatureSpec.from_json(catalogue.spec.to_json()) == catalogue.spec
    table.assign(sale="no").to_csv(tmp_path / "items.csv", index=False)
    sentence = refusal(shop(rows(), section))
    assert all(word in sentence for word in ("'sale'", "items.csv", "the value 0 alone", "out of [features]")), sentence


def test_item_ids_meet_across_tables(shop, tmp_path):
    """An item whose id is a number in the log and text in the items table is one item, with its title."""
    (tmp_path / "items.csv").write_text("id,name\n7,Seven\nx,Other\n")
    log = encode(read(shop(rows(3, what=[7, 8, 9]), '[items]\nfile = "items.csv"\nitem_id = "id"\ntitle = "name"\n')))
    assert log.catalogue.ids.tolist() == ["7", "x", "8", "9"]
    assert log.catalogue.titles[log.items[0]] == "Seven"
    assert log.items.tolist() == [0, 2, 3]


PARQUET = ITEMS.replace("csv", "parquet") + 'categories = "kinds"\ncategorical = ["brand"]\nnumeric = ["price"]\n'


def test_columns_of_parquet_keep_their_types(shop, tmp_path):
    """Integers in a categorical column are names, lists are lists, and a missing cell is no value of its own."""
    items, kinds = tmp_path / "items.parquet", [["a", "b"], [], ["a"]]
    table = pd.DataFrame({"what": range(100, 103), "kinds": kinds, "brand": [7, None, 9], "price": [1.0, 2.0, None]})
    table.to_parquet(items)
    spec = encode(read(shop(rows(), PARQUET))).catalogue.spec
    assert {"categories=a", "categories=b", "brand=7.0", "brand=9.0"} <= set(spec.tokens)
    assert not any("nan" in token.lower() or "none" in token.lower() for token in spec.tokens)
    assert list(spec.edges) == ["price"]
    table.assign(kinds=[3, 4, 5]).to_parquet(items)
    assert "categories=3" in encode(read(shop(rows(), PARQUET))).catalogue.spec.tokens
    table.assign(brand=kinds).to_parquet(items)
    with pytest.raises(DatasetError, match="The column 'brand' holds lists"):
        read(shop(rows(), PARQUET))
