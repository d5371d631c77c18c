"""What a shop decides and no model does: a validated file of rules, and the slate they make of scored candidates.

`document` is the file, `compiled` what it means for one generation, `selection` the slate, which counts with `caps` and
`quotas`, moves by `pins`, `shifts` and `unlikeness`, and is topped up by `walk`. Numpy only.
"""

from recsys.rules.catalogue import Catalogue
from recsys.rules.compiled_rules import CompiledRules, compiled, unknown_items
from recsys.rules.document import Rules, parse
from recsys.rules.rules_file import RulesFile
from recsys.rules.selection import Slate, select

__all__ = ["Catalogue", "CompiledRules", "Rules", "RulesFile", "Slate", "compiled", "parse", "select", "unknown_items"]
