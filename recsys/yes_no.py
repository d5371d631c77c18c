"""Yes or no as shops write it: `truth("Out of stock")` is False.

One vocabulary for every column that is true or false: the stock of an item, and what a filter compares.
"""

from __future__ import annotations

from collections.abc import Mapping

WORDS = {
    True: ("true", "t", "yes", "y", "1", "1.0", "in stock", "instock", "available"),
    False: ("false", "f", "no", "n", "0", "0.0", "out of stock", "outofstock", "sold out", "unavailable"),
}
"""What each truth may be written as, after `plain`. The longer words are those of common shop systems."""

VOCABULARY = {word: meaning for meaning, words in WORDS.items() for word in words}


def truth(value: object, more: Mapping[str, bool] | None = None) -> bool | None:
    """The truth of a cell; None for a word that is unknown.

    more: further words, or other meanings of known ones; its keys are compared like the cell.
    """
    word = plain(value)
    for known, meaning in (more or {}).items():
        if plain(known) == word:
            return meaning
    return VOCABULARY.get(word)


def plain(value: object) -> str:
    """A cell as lower-case text with single spaces: "In_Stock " is "in stock"."""
    return " ".join(str(value).casefold().replace("_", " ").replace("-", " ").split())
