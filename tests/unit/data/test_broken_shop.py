"""A shop with usual flaws, and broken variants: each is refused in a sentence with the column, two rows and the fix."""

import re
import shutil
import time
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from training.__main__ import main
from training.encode.interaction_log import encode
from training.judge.gate.check import failed
from training.judge.gate.dataset_profile import DataProfile, LiveGeneration
from training.judge.gate.gate import check_data
from training.read.dataset import read

SHOP = Path("data/shop")
LOG, ITEMS = "clicks.csv.gz", "products.csv"
DAY_FIRST = "%d/%m/%Y %H:%M:%S"


class Copy:
    """A copy of the shop whose tables a test may change, all cells being text."""

    def __init__(self, folder, check):
        self.folder, self._check = Path(shutil.copytree(SHOP, folder)), check

    def change(self, file, column, meaning, rows=slice(None)):
        table = self.table(file)
        table.loc[table.index[rows], column] = table[column].iloc[rows].map(meaning)
        return self.write(file, table)

    def table(self, file):
        return pd.read_csv(self.folder / file, dtype=str, keep_default_na=False)

    def write(self, file, table):
        table.to_csv(self.folder / file, index=False)
        return self

    def state(self, section, line):
        path = self.folder / "dataset.toml"
        path.write_text(path.read_text().replace(f"[{section}]\n", f"[{section}]\n{line}\n"))
        return self

    def without_events(self):
        """Take the meaning of event types out of the mapping, as a first mapping has none."""
        path = self.folder / "dataset.toml"
        path.write_text(path.read_text().partition("[events]")[0])
        return self

    def read(self):
        return read(self.folder)

    def refusal(self):
        """The sentence with which `python -m training check` refuses the shop."""
        return self._check(self.folder)

    def judged(self, live=None):
        """The sentences with which the gate refuses the shop's data beside a live generation, or a first run."""
        return failed(check_data(profile(self.read()), live))


@pytest.fixture
def shop(tmp_path, refusal):
    """A copy of the shop to break."""
    return Copy(tmp_path / "shop", refusal)


@pytest.fixture(scope="module")
def good():
    """The shop as it is."""
    return read(SHOP)


@pytest.fixture(scope="module")
def live(good):
    """A generation that was made from the good shop."""
    return LiveGeneration("g1", profile(good))


def profile(dataset):
    return DataProfile.of(dataset, encode(dataset))


def has(sentence, *words):
    """Whether a sentence has all the words, in order."""
    at = 0
    for word in words:
        assert word in sentence[at:], f"{word!r} is not in {sentence[at:]!r}"
        at = sentence.index(word, at) + len(word)


def day_first(cell):
    """A time of the good shop with the day first; what is no time stays."""
    return f"{cell[8:10]}/{cell[5:7]}/{cell[:4]} {cell[11:19]}" if cell[4:5] == "-" else cell


def later(hours):
    """The times of the good shop so many hours later."""
    return lambda cell: cell if cell[:2] != "20" else f"{pd.Timestamp(cell) + pd.Timedelta(hours=hours):%FT%TZ}"


def same(left, right):
    pd.testing.assert_frame_equal(left.interactions, right.interactions)
    pd.testing.assert_frame_equal(left.items, right.items)


def test_the_shop_as_it_is_passes(good, live):
    """BOM, CRLF, commas, gaps and a few bad rows are read, counted and accepted, in a first and in a later run."""
    assert good.notes.set_aside == {
        "interactions, timestamp: not a time": 4,
        "interactions, timestamp: in the future": 2,
        "interactions, user_id: empty": 2,
        "items, item_id: empty": 1,
        "items, item_id: seen before": 1,
        "values of items, price: not a number": 1,
    }
    assert good.notes.duplicates == 20
    assert "Set aside, items, item_id: empty: 1" in good.notes.lines(len(good.interactions))
    assert len(good.items) == 300
    assert failed(check_data(live.data, None)) == failed(check_data(live.data, live)) == []


def test_day_first_dates(shop, good):
    """Refused without a stated format, with a row that has two meanings and a row that has one; read with it."""
    line = shop.change(LOG, "when", day_first).refusal()
    has(line, "column 'when' of", LOG, "row ", "'04/03/2025 ", "row ", "'13/03/2025 ", f'format = "{DAY_FIRST}"')
    has(line, "2025-03-04", "2025-04-03", 'fits "%d/%m/%Y', "alone")
    same(shop.state("interactions", f'timestamp_format = "{DAY_FIRST}"').read(), good)


@pytest.mark.parametrize("hours", [2, -5])
def test_another_time_zone(shop, live, hours):
    """Times some hours too early or too late are refused beside a live generation, by the hours of the day."""
    (line,) = shop.change(LOG, "when", later(hours)).judged(live)
    has(line, "hours of the day (UTC)", f"if all times were {-hours:+d} hours", "timezone in [interactions]")
    has(line, "'when' of", "row ", " and row ")


def test_another_time_zone_on_a_first_run(shop):
    """Events of the hours to come are refused in a first run; with the zone stated they are accepted."""
    table = shop.table(LOG)
    newest = pd.to_datetime(table["when"], errors="coerce", utc=True, format="ISO8601")
    moved = time.time() - newest[newest.dt.year == 2025].max().timestamp() + 7_100
    shop.change(LOG, "when", lambda cell: later(moved / 3_600)(cell).removesuffix("Z")).write(
        LOG, (table := shop.table(LOG))[~table["when"].str.startswith("21")]
    )
    (line,) = shop.judged()
    has(line, "events ahead of this machine's clock", "timezone in [interactions]", "'when' of", "row ", " and row ")
    assert shop.state("interactions", 'timezone = "Etc/GMT-2"').judged() == []


def test_words_for_stock(shop, good):
    """Known words are read, unknown ones are refused by name, and the mapping may give them a meaning."""
    shop.change(ITEMS, "in_stock", {"yes": "In Stock", "no": "out_of_stock"}.get)
    same(shop.read(), good)
    line = shop.change(ITEMS, "in_stock", {"In Stock": "lieferbar", "out_of_stock": "ausverkauft"}.get).refusal()
    has(line, "column 'in_stock' of", ITEMS, "row 0 'lieferbar' and row 5 'ausverkauft'", "available_values = {")
    has(line, '"lieferbar" = true or false', '"ausverkauft" = true or false')
    same(shop.state("items", "available_values = { Lieferbar = true, ausverkauft = false }").read(), good)


def test_stock_that_came_back_at_once(shop, live):
    """A column of stock with yes in every row is refused beside a live generation."""
    (line,) = shop.change(ITEMS, "in_stock", lambda _: "yes").judged(live)
    has(line, "items that are available: 100.0% of 300", "would pass", "column 'in_stock' of", "row 0", "row 1")


@pytest.mark.parametrize("words", ["", "available_values = { vergriffen = true, lieferbar = false }"])
def test_stock_the_wrong_way_round(shop, live, words):
    """A first catalogue whose newest events are of items that are sold out is refused, with cells of the file."""
    meant = {"yes": "lieferbar", "no": "vergriffen"} if words else {"yes": "no", "no": "yes"}
    shop.change(ITEMS, "in_stock", meant.get)
    if words:
        shop.state("items", words)
    (line,) = shop.judged()
    has(line, "newest tenth of the events that are available:", "50.0% would pass", "available_values in [items]")
    has(line, "column 'in_stock' of", f"row 0 '{meant['yes']}' and row 5 '{meant['no']}'")
    assert any("items that are available:" in line and f"'{meant['no']}'" in line for line in shop.judged(live))


def test_decimal_commas(shop, good):
    """Refused with the setting; with it they are numbers."""
    given = shop.table(ITEMS)["price"]
    line = shop.change(ITEMS, "price", lambda cell: cell.replace(".", ",")).refusal()
    has(line, "column 'price'", "row 1 '", ",", "row 2 '", 'decimal = "," in [items]')
    dataset = shop.state("items", 'decimal = ","').read()
    assert dataset.items["price"].drop(index=7).equals(good.items["price"].drop(index=7))
    assert (given[7], dataset.items["price"][7]) == ("12,50", 12.5)
    assert not any(reason.startswith("values") for reason in dataset.notes.set_aside)


@pytest.mark.parametrize("name", ["order_completed", "Purchase"])
def test_one_type_renamed(shop, live, name):
    """Refused if the mapping names the old type, and otherwise beside a live generation."""
    shop.change(LOG, "event", lambda cell: name if cell == "purchase" else cell)
    has(shop.refusal(), "in [settings] names 'purchase'", "column 'event'", f"'{name}' (633) in rows ", " and ")
    new, gone = sorted(shop.without_events().judged(live), key=lambda line: "type purchase" in line)
    has(new, f"events of type {name}:", "live g1 has 0.00%", "event_type in [interactions]", "'event' of", "row ")
    has(gone, "events of type purchase: 0.00%", "event_type in [interactions]", "'event' of", "row ", "row ")


def test_ids_that_lost_their_zeros(shop, live):
    """Refused if one table lost them; if both did, refused beside a live generation."""

    def bare(cell):
        return cell[-5:].lstrip("0")

    line = shop.change(ITEMS, "sku", lambda cell: cell and cell[-5:]).change(LOG, "sku", bare).refusal()
    has(line, "column 'sku' of", LOG, "'sku' of", ITEMS, "row ", " and row ", "'00", "zeros", "as text")
    line = " ".join(shop.change(ITEMS, "sku", bare).judged(live))
    has(line, "items of live g1 that are in this data: 0%", "'sku' of", "row ", " and row ")


def test_ids_of_another_kind(shop):
    """A table in which no event finds its item is refused."""
    line = shop.change(ITEMS, "sku", lambda cell: cell and f"P{cell}").refusal()
    has(line, "column 'sku' of", LOG, "0.0% of the events", "row ", "column 'sku' of", ITEMS, "row 0 'PSKU-")


def test_half_a_catalogue(shop, live, capsys):
    """`python -m training check` accepts the whole table and refuses a half of it; so does the gate of a later run."""
    assert main(["check", "--data", str(shop.folder)]) == 0
    has(
        capsys.readouterr().out, "8,176 events of 450 users", "2025-03-03 07:38", "purchase (631)", "94.0%", "Duplicate"
    )
    shop.write(ITEMS, shop.table(ITEMS)[::2])
    assert main(["check", "--data", str(shop.folder)]) == 1
    line = capsys.readouterr().err
    has(line, "The gate would refuse this data", "events whose item is in the items table ([items]):")
    has(line, "80.0% would pass", "'sku' of", "row ", " and row ")
    assert any("live g1 has 100.0%" in line and "events whose item" in line for line in shop.judged(live))


def test_the_page_for_newcomers_builds_this_mapping():
    """The steps of docs/your-shop.md together are the shop's dataset.toml."""
    first, more, *_ = re.findall(r"```toml\n(.*?)```", Path("docs/your-shop.md").read_text(), re.DOTALL)
    assert tomllib.loads(first + more) == tomllib.loads((SHOP / "dataset.toml").read_text())
