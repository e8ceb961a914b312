"""Fields that two machines fight over: the same two values, back and forth, without end.

A CRM automation that undoes what we write makes a loop in which each round looks like a person's
edit. A reversal is counted when the field goes back to the value it came from and the other side
did it (or a one-way field is written back again); after ``Policy.fight_limit`` of them the field
is frozen and shown with both values, and the rest of the record flows. A person who changes her
mind on one side is no fight.
"""

from __future__ import annotations

from crm.engine.digest import digest_value
from crm.mapping.field_map import FieldMap
from crm.model import BasePair, Effect, Flips, Rule, Side


def is_fought(flips: Flips | None, effect: Effect, pair: BasePair | None, field_map: FieldMap, limit: int) -> bool:
    """True when this effect would be one reversal too many."""
    if flips is None or flips.count < limit:
        return False
    return _values(effect, pair, field_map) == flips.pair and _reverses(flips, effect)


def count_flip(flips: Flips | None, effect: Effect, pair: BasePair | None, field_map: FieldMap) -> Flips | None:
    """The count after this effect was applied; None for an effect that writes nothing."""
    if effect.side is None or pair is None:
        return flips
    values = _values(effect, pair, field_map)
    if flips is None or flips.pair != values:
        return Flips(values, 1, effect.side)
    return Flips(values, flips.count + _reverses(flips, effect), effect.side)


def _reverses(flips: Flips, effect: Effect) -> bool:
    return flips.side is not effect.side or effect.rule is Rule.WRITTEN_BACK


def _values(effect: Effect, pair: BasePair | None, field_map: FieldMap) -> tuple[str, str]:
    """The two values in the CRM's form, whichever side is written."""
    before = effect.before if effect.side is Side.CRM else (pair.crm if pair is not None else None)
    forms = sorted(digest_value(field_map.canonical_crm(value)) for value in (before, effect.crm_value))
    return forms[0], forms[1]
