"""Make the sample shop beside this file: `python data/shop/generate.py`. The same numpy gives the same bytes.

A shop as it would be brought: views, carts and purchases of 90 days in UTC, a BOM, CRLF, quoted commas and quotes, a
column name with a space, prices with gaps and one comma, times that are none or far ahead, empty ids, duplicate rows.
"""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

USERS, ITEMS, DAYS = 450, 300, 90
START = datetime(2025, 3, 3, tzinfo=UTC).timestamp()
DEPARTMENTS = {
    "Clothing": ("Dresses", "Jackets", "Shoes"),
    "Books": ("Novels", "Cooking"),
    "Garden": ("Tools", "Seeds"),
    "Pets": ("Cat Litter", "Dog Food"),
    "Sports": ("Running", "Cycling"),
    "Beauty": ("Perfume", "Soap"),
}
BRANDS = ("Acme", "Brio, Inc.", "Calla", "Dorn & Sons", "Elm")
AGAIN = {"Cat Litter", "Dog Food", "Soap", "Seeds"}
"""What people buy again."""

HOURS = np.array([1, 0, 0, 0, 0, 0, 1, 2, 4, 6, 8, 9, 10, 9, 9, 9, 10, 12, 14, 16, 18, 16, 10, 4], float)
"""Visits by hour of the day, UTC."""

FOLDER = Path(__file__).parent


def main() -> None:
    """Write both tables."""
    rng = np.random.default_rng(0)
    kinds = [(department, kind) for department, kinds in DEPARTMENTS.items() for kind in kinds]
    of_kind = np.sort(rng.integers(len(kinds), size=ITEMS))
    write_products(rng, kinds, of_kind)
    events = sorted(visits(rng, kinds, of_kind), key=lambda event: event[0])
    write_clicks(rng, events, of_kind)


def write_products(rng: np.random.Generator, kinds: list[tuple[str, str]], of_kind: np.ndarray) -> None:
    """The items, one of them twice, one without an id."""
    rows = []
    for item, kind in enumerate(of_kind.tolist()):
        department, name = kinds[kind]
        brand = BRANDS[rng.integers(len(BRANDS))]
        title = f'{brand} "{name}" No. {item}' if item % 3 == 0 else f"{brand} {name}, model {item}"
        price = f"{rng.lognormal(3, 0.6):.2f}" if item % 50 else ""
        sold_out = "no" if item % 17 == 5 else "yes"
        rows.append([sku(item, kind), title, f"{department}|{name}", price, brand, sold_out])
    rows[7][3] = "12,50"
    rows += [rows[5], ["", "No number yet", "Books|Novels", "9.90", "Elm", "yes"]]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["sku", "title", "Product Categories", "price", "brand", "in_stock"])
    writer.writerows(rows)
    (FOLDER / "products.csv").write_bytes(text.getvalue().encode("utf-8-sig"))


def visits(
    rng: np.random.Generator, kinds: list[tuple[str, str]], of_kind: np.ndarray
) -> list[tuple[float, int, int, str, str]]:
    """Time, user, item, event and device of each event."""
    weights = 1 / (rng.permutation(ITEMS) + 8.0)
    inside = [np.flatnonzero(of_kind == kind) for kind in range(len(kinds))]
    bought_again = np.array([kinds[kind][1] in AGAIN for kind in of_kind])
    events = []
    for user in range(USERS):
        liked = rng.choice(len(kinds), 2, replace=False)
        device = ("mobile", "mobile", "desktop", "tablet")[rng.integers(4)]
        past: list[int] = []
        for day in np.sort(rng.uniform(0, DAYS, 1 + rng.poisson(rng.gamma(1.2, 3.0)))):
            now = START + int(day) * 86_400 + rng.choice(24, p=HOURS / HOURS.sum()) * 3_600 + rng.uniform(0, 3_000)
            for _ in range(1 + rng.poisson(2.0)):
                if past and rng.random() < 0.45:
                    item = past[-1 - min(int(rng.exponential(4)), len(past) - 1)]
                else:
                    shelf = inside[liked[rng.integers(2)]] if rng.random() < 0.8 else np.arange(ITEMS)
                    item = int(rng.choice(shelf, p=weights[shelf] / weights[shelf].sum()))
                past.append(item)
                events.append((now, user, item, "view", device))
                keen = 0.35 if bought_again[item] and item in past[:-1] else 0.2
                if rng.random() < keen:
                    events.append((now + rng.uniform(20, 60), user, item, "add_to_cart", device))
                    if rng.random() < 0.45:
                        events.append((now + rng.uniform(90, 300), user, item, "purchase", device))
                now += rng.uniform(60, 400)
    return events


def write_clicks(rng: np.random.Generator, events: list[tuple[float, int, int, str, str]], of_kind: np.ndarray) -> None:
    """The log, with some rows that are bad and some that are there twice."""
    names = rng.choice(90_000_000, USERS, replace=False) + 10_000_000
    rows = []
    for moment, user, item, event, device in events:
        when = datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows.append([f"c_{names[user]}", sku(item, int(of_kind[item])), event, when, device])
    for column, value, count in ((3, "", 2), (3, "not a date", 2), (3, "2099-01-01T00:00:00Z", 2), (0, "", 2)):
        for row in rng.choice(len(rows), count, replace=False):
            rows[row] = [*rows[row][:column], value, *rows[row][column + 1 :]]
    for row in sorted(rng.choice(len(rows), 20, replace=False), reverse=True):
        rows.insert(row, rows[row])
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["Customer ID", "sku", "event", "when", "device"])
    writer.writerows(rows)
    (FOLDER / "clicks.csv.gz").write_bytes(gzip.compress(text.getvalue().encode("utf-8-sig"), mtime=0))


def sku(item: int, kind: int) -> str:
    """An item's number as the shop writes it."""
    return f"SKU-{kind:02}-{item:05}"


if __name__ == "__main__":
    main()
