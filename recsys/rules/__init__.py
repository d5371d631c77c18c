"""What a shop decides and no model does: a validated file of rules, and the slate they make of scored candidates.

`document` is the file, `compiled` what it means for one generation, `selection` the slate. Numpy only.
"""

from recsys.rules.compiled import CompiledRules, compiled
from recsys.rules.document import Rules, parse
from recsys.rules.file import RulesFile
from recsys.rules.selection import Catalogue, Slate, select

__all__ = ["Catalogue", "CompiledRules", "Rules", "RulesFile", "Slate", "compiled", "parse", "select"]
