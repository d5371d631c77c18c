"""Business rules on recommendations: read caps, boosts, pins, quotas and diversity from a file, and apply them.

`rules_schema` validates the file, `compiled_rules` translates it for one trained set of models and tables, and
`selection` makes the slate, the ordered list of recommended items.
"""

from recsys.rules.catalogue import Catalogue
from recsys.rules.compiled_rules import CompiledRules, compile_rules, unknown_items
from recsys.rules.rules_schema import Rules, RulesFile, parse
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
