"""Engines with one known mistake each: those of the bug museum, and branches of the planner worth breaking.

Each is a patch of the loaded modules; the product has no switch for any of them. A mutant is killed
when a seed accuses it of an invariant that it must break.
"""

from tests.harness.simulate.mutants import creating, ends, guarding, sending, times, values
from tests.harness.simulate.mutants.registry import KILLERS, MUTANTS, SEEDS, Mutant, Patch, known_killers

__all__ = [
    "KILLERS",
    "MUTANTS",
    "SEEDS",
    "Mutant",
    "Patch",
    "creating",
    "ends",
    "guarding",
    "known_killers",
    "sending",
    "times",
    "values",
]
