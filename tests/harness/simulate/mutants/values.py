"""Values on their way: blanks, hidden fields, transforms, bases, consent."""

from __future__ import annotations

from dataclasses import replace

from crm.engine import confirm, decide, fields, observe, plan, send, settle
from crm.model import (
    UNKNOWN,
    BasePair,
    Side,
)
from tests.harness.simulate.mutants.registry import Patch, mutant


@mutant("I7", "I1", "I4")
def _nothing_false_and_zero_are_one(patch: Patch) -> None:
    """False and zero are blank."""
    honest = plan.is_blank
    patch.set(plan, "is_blank", lambda value: honest(value) or not value)
    for module in (fields, plan):
        patch.set(module, "push_field", _without_falsehood(module.push_field))


def _without_falsehood(honest):
    def push(field_map, app, crm, decision, troubles):
        effect = honest(field_map, app, crm, decision, troubles)
        if effect is None or effect.after:
            return effect
        return replace(effect, after=None, crm_value=None)

    return push


@mutant("I23", "I7")
def _hidden_is_blank(patch: Patch) -> None:
    """A field that the credentials may not read is taken for empty."""
    honest = observe._plan

    def bare(subject, heirs, book, evidence):
        values = {name: subject.record.values.get(name) for name in book.remote_fields}
        record = replace(subject.record, values=values) if subject.record.values else subject.record
        return honest(replace(subject, record=record), heirs, book, evidence)

    patch.set(observe, "_plan", bare)


@mutant("I23", "I7")
def _unread_blank_is_trusted(patch: Patch) -> None:
    """A field that could not be read for a while and is empty now was cleared by a person."""
    honest = fields._facts
    patch.set(fields, "_facts", lambda *arguments: replace(honest(*arguments), blank_is_trusted=True))


@mutant("I2", "I7", "I1")
def _transform_without_inverse(patch: Patch) -> None:
    """Names go out in capitals and come back as they are."""
    honest = fields.FieldMap.to_crm

    def shouting(self, value):
        mapped = honest(self, value)
        return mapped.upper() if self.app_field in {"lastName", "company"} and isinstance(mapped, str) else mapped

    patch.set(fields.FieldMap, "to_crm", shouting)


@mutant("I8", "I2")
def _base_is_what_was_sent(patch: Patch) -> None:
    """The base takes the value sent, whatever the CRM made of it."""
    patch.set(confirm, "confirmed_effects", lambda effects, _returned: effects)


@mutant("I2", "I8", "I1", "I7")
def _one_base_for_both_sides(patch: Patch) -> None:
    """What the CRM returned is the base of both sides."""
    patch.set(confirm, "BasePair", lambda _app, crm, *more, **named: BasePair(crm, crm, *more, **named))


@mutant("I4", "I7")
def _whole_record_is_written(patch: Patch) -> None:
    """A change of one field writes all of them as the app holds them."""
    honest = plan.plan_fields

    def whole(view, record, book, evidence, **options):
        found = honest(view, record, book, evidence, **options)
        if not any(effect.side is Side.CRM for effect in found.effects):
            return found
        done = {effect.mapping_id for effect in found.effects}
        decision = decide.Decision(decide.Verdict.PUSH, fields.Rule.APP_CHANGED, 3)
        for field_map in book.maps:
            if field_map.mapping_id not in done and record.values.get(field_map.remote_field, UNKNOWN) is not UNKNOWN:
                value = view.contact.values.get(field_map.app_field)
                effect = fields.push_field(field_map, value, record.values[field_map.remote_field], decision, {})
                found.effects.extend([effect] if effect else [])
        return found

    patch.set(plan, "plan_fields", whole)


@mutant("I4")
def _reread_is_the_answer(patch: Patch) -> None:
    """Whatever a re-read shows is taken for the result of our write."""

    def trusting(returned, sent, record, maps):
        returned.update({name: record.values[name] for name in sent if name in record.values})

    patch.set(send, "trust_record", trusting)
    patch.set(settle, "trust_record", trusting)


@mutant("I7")
def _newest_wins_on_consent(patch: Patch) -> None:
    """Consent is a field like any other."""
    patch.set(
        decide, "_decide_consent",
        lambda facts, rules: decide.decide_field(
            facts, replace(rules, consent=False, strategy=decide.Strategy.CRM_WINS)
        ),
    )  # fmt: skip
