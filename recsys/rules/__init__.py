"""Business rules: a validated file of caps, boosts, pins, quotas and diversity, and the slate under these rules.

`rules_schema` validates the file, `compiled_rules` translates it for one generation, `selection` makes the slate.
"""

from recsys.rules.catalogue import Catalogue
from recsys.rules.compiled_rules import CompiledRules, compile_rules, unknown_items
from recsys.rules.rules_file import RulesFile
from recsys.rules.rules_schema import Rules, parse
from recsys.rules.selection import Slate, select

__all__ = [
    "Catalogue",
    "CompiledRules",
    "Rules",
    "RulesFile",
    "Slate",
    "compile_rules",
    "parse",
    "select",
    "unknown_items",
]
