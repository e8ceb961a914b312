"""The fields of one pair: each decided by ``decide``, and what the decisions add up to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from crm.engine.decide import Decision, Facts, Rules, Verdict, decide_field
from crm.engine.digest import digest_value
from crm.engine.fights import is_fought
from crm.engine.life import left_as_it_stands, stands, with_outdated
from crm.engine.newest import resolve_newest
from crm.engine.rulebook import Rulebook
from crm.errors import MappingError
from crm.mapping.field_map import FieldMap
from crm.model import (
    UNKNOWN,
    BasePair,
    ConflictDraft,
    ConflictKind,
    Effect,
    Evidence,
    FieldTrouble,
    Link,
    LinkView,
    Policy,
    RemoteRecord,
    Resolution,
    Rule,
    Seen,
    Side,
    Unknown,
    Value,
)

PINGPONG = "rule.automation_pingpong"


@dataclass(slots=True)
class Fields:
    """What the field decisions of one pair add up to."""

    effects: list[Effect]
    conflicts: list[ConflictDraft]
    closes: list[str]
    troubles: dict[str, FieldTrouble]
    contested: list[str]


def plan_fields(
    view: LinkView,
    record: RemoteRecord,
    book: Rulebook,
    evidence: Evidence | None,
    *,
    merged: bool = False,
    first_meeting: bool = False,
) -> Fields:
    """The field table over all mapped fields of one pair."""
    fields = Fields([], [], [], {}, [])
    open_by_mapping = {conflict.mapping_id: conflict for conflict in view.conflicts if conflict.mapping_id}
    mapped = set()
    for field_map in book.maps:
        mapped.add(field_map.mapping_id)
        app = view.contact.values.get(field_map.app_field)
        crm: Seen = record.values.get(field_map.remote_field, UNKNOWN)
        pair = base_pair(view.link, field_map)
        question = open_by_mapping.get(field_map.mapping_id)
        if app is None and crm is None and pair is None and question is None and not field_map.consent:
            continue  # row 7, empty on both sides: the other half of most records
        settled = pair is not None and not (merged or pair.unread or question or _is_revisited(field_map, pair))
        if settled and pair is not None and app == pair.app and crm == pair.crm:
            continue  # nothing moved, not even in form: most fields of most records
        if isinstance(crm, Unknown):
            _note_unreadable(field_map, pair, fields)
            continue
        known = field_map
        if field_map.former is not None and (first_meeting or merged):
            known = replace(field_map, former=None)  # nothing stood there when the mapping was changed
        _plan_field(view, known, app, crm, pair, book, evidence, merged, fields)
    for mapping_id, conflict in open_by_mapping.items():
        if mapping_id not in mapped:
            fields.closes.append(conflict.conflict_id)
    return fields


def _plan_field(
    view: LinkView,
    field_map: FieldMap,
    app: Value,
    crm: Value,
    pair: BasePair | None,
    book: Rulebook,
    evidence: Evidence | None,
    merged: bool,
    fields: Fields,
) -> None:
    question = next((item for item in view.conflicts if item.mapping_id == field_map.mapping_id), None)
    facts = _facts(field_map, app, crm, pair, merged)
    answer = view.resolutions.get(field_map.mapping_id)
    if answer is not None and question is not None and not facts.agree:
        if _shown_values_hold(answer, field_map, app, crm):
            _apply_answer(answer, field_map, app, crm, fields)
            fields.closes.append(question.conflict_id)
            return
        fields.conflicts.append(_draft(field_map, app, crm, pair, evidence))  # refreshed and shown again
        return
    asked = question is not None and _same_question(question.app_value, question.crm_value, field_map, app, crm)
    if asked and field_map.keeps_questions and not facts.agree:
        return  # the strategy was changed for what comes from now on
    decision = _decide(field_map, facts, pair, book.policy, None if asked else evidence)
    if decision.verdict is Verdict.NEED_EVIDENCE:
        if not asked:  # else nothing moved since
            fields.contested.append(field_map.mapping_id)
        return
    if decision.verdict is Verdict.ASK:
        if not asked:
            fields.conflicts.append(_draft(field_map, app, crm, pair, evidence))
        return
    if question is not None:
        fields.closes.append(question.conflict_id)
    readable_again = pair is not None and pair.unread and decision.row == 2 and not facts.crm_blank
    if decision.verdict in (Verdict.NOTHING, Verdict.SKIP) and not readable_again:
        return
    if decision.verdict is Verdict.AGREE or readable_again:
        fields.effects.append(
            Effect(
                mapping_id=field_map.mapping_id, app_field=field_map.app_field,
                remote_field=field_map.remote_field, side=None, before=app, after=app,
                rule=decision.rule, app_value=app, crm_value=crm,
            )
        )  # fmt: skip
        return
    _write(view.link, field_map, app, crm, pair, decision, book, fields)


def _decide(
    field_map: FieldMap, facts: Facts, pair: BasePair | None, policy: Policy, evidence: Evidence | None
) -> Decision:
    """NEED_EVIDENCE only where there is none."""
    rules = Rules(
        direction=field_map.direction,
        strategy=field_map.strategy or policy.strategy,
        tie_rule=policy.tie_rule,
        blank_rule=field_map.blank_rule,
        drift=field_map.drift or policy.drift,
        consent=field_map.consent,
        source=field_map.starts_at,
    )
    decision = decide_field(facts, rules)
    if stands(decision, facts, rules, field_map, pair):
        if evidence is None:
            return replace(decision, verdict=Verdict.NEED_EVIDENCE)
        left = left_as_it_stands(field_map, decision, evidence)
        if left is not None:
            return left
    if decision.verdict is not Verdict.NEED_EVIDENCE or evidence is None:
        return decision
    newest = resolve_newest(
        evidence.app.get(field_map.app_field), evidence.crm.get(field_map.remote_field), policy.clock_skew_seconds
    )
    return decide_field(facts, rules, newest)


def _write(
    link: Link,
    field_map: FieldMap,
    app: Value,
    crm: Value,
    pair: BasePair | None,
    decision: Decision,
    book: Rulebook,
    fields: Fields,
) -> None:
    """A push or a pull, unless the far side is known to refuse it or the field is being fought over."""
    side = Side.CRM if decision.verdict is Verdict.PUSH else Side.APP
    source = app if side is Side.CRM else crm
    known = link.troubles.get(field_map.mapping_id)
    if known is not None and still_refused(known, side, source, field_map):
        fields.troubles[field_map.mapping_id] = known
        return
    build = push_field if side is Side.CRM else pull_field
    effect = build(field_map, app, crm, decision, fields.troubles)
    if effect is None:
        return
    if is_fought(link.flips.get(field_map.mapping_id), effect, pair, field_map, book.policy.fight_limit):
        fields.troubles[field_map.mapping_id] = FieldTrouble(PINGPONG, side, digest_value(source), field_map.definition)
        return
    fields.effects.append(effect)


def push_field(
    field_map: FieldMap, app: Value, crm: Value, decision: Decision, troubles: dict[str, FieldTrouble]
) -> Effect | None:
    try:
        after = field_map.to_crm(app)
    except MappingError as error:
        troubles[field_map.mapping_id] = FieldTrouble(error.code, Side.CRM, digest_value(app), field_map.definition)
        return None
    return Effect(
        mapping_id=field_map.mapping_id, app_field=field_map.app_field, remote_field=field_map.remote_field,
        side=Side.CRM, before=crm, after=after, rule=decision.rule, app_value=app, crm_value=after,
        lost=crm if decision.overrules else None, overrules=decision.overrules,
    )  # fmt: skip


def pull_field(
    field_map: FieldMap, app: Value, crm: Value, decision: Decision, troubles: dict[str, FieldTrouble]
) -> Effect | None:
    try:
        after = field_map.from_crm(crm)
    except MappingError as error:
        troubles[field_map.mapping_id] = FieldTrouble(error.code, Side.APP, digest_value(crm), field_map.definition)
        return None
    return Effect(
        mapping_id=field_map.mapping_id, app_field=field_map.app_field, remote_field=field_map.remote_field,
        side=Side.APP, before=app, after=after, rule=decision.rule, app_value=after, crm_value=crm,
        lost=app if decision.overrules else None, overrules=decision.overrules,
    )  # fmt: skip


def _apply_answer(answer: Resolution, field_map: FieldMap, app: Value, crm: Value, fields: Fields) -> None:
    """A person chose: the kept value goes to the other side; a typed one to both."""
    chosen = Decision(Verdict.PUSH, Rule.CHOSEN, 6, overrules=True)
    if answer.side is Side.APP:
        effect = push_field(field_map, app, crm, chosen, fields.troubles)
        fields.effects.extend([effect] if effect else [])
    elif answer.side is Side.CRM:
        effect = pull_field(field_map, app, crm, chosen, fields.troubles)
        fields.effects.extend([effect] if effect else [])
    else:
        push = push_field(field_map, answer.value, crm, chosen, fields.troubles)
        if push is None:
            return
        fields.effects.append(push)
        fields.effects.append(
            replace(push, side=Side.APP, before=app, after=answer.value, lost=app)
        )  # both halves of the same base pair


def _facts(field_map: FieldMap, app: Value, crm: Value, pair: BasePair | None, merged: bool) -> Facts:
    app_form, crm_form = field_map.canonical_app(app), field_map.canonical_crm(crm)
    based = pair is not None
    app_moved = based and app_form != field_map.canonical_app(pair.app)  # type: ignore[union-attr]
    crm_moved = based and (merged or crm_form != field_map.canonical_crm(pair.crm))  # type: ignore[union-attr]
    unmoved = based and not app_moved and not crm_moved
    facts = Facts(
        known=True,
        based=based,
        app_moved=app_moved,
        crm_moved=crm_moved,
        agree=not unmoved and field_map.correspond(app, crm),
        app_blank=app_form is None,
        crm_blank=crm_form is None,
        blank_is_trusted=not (pair is not None and pair.unread),
        app_opted_out=bool(app_form) if field_map.consent else False,
        crm_opted_out=_opted_out(field_map, crm),
    )
    return with_outdated(facts, field_map, pair, app, crm)


def _opted_out(field_map: FieldMap, crm: Value) -> bool:
    if not field_map.consent:
        return False
    try:
        return bool(field_map.from_crm(crm))
    except MappingError:
        return False


def base_pair(link: Link, field_map: FieldMap) -> BasePair | None:
    """The pair, unless the CRM's field became another one since."""
    pair = link.base.get(field_map.mapping_id)
    return pair if pair is not None and pair.definition == field_map.definition else None


def _is_revisited(field_map: FieldMap, pair: BasePair) -> bool:
    return pair.version < field_map.revisits_before


def _note_unreadable(field_map: FieldMap, pair: BasePair | None, fields: Fields) -> None:
    """Row 1. Noted once on the base, so that a blank seen later is not taken for a deletion."""
    if pair is None or pair.unread:
        return
    fields.effects.append(
        Effect(
            mapping_id=field_map.mapping_id, app_field=field_map.app_field, remote_field=field_map.remote_field,
            side=None, before=pair.app, after=pair.app, rule=Rule.UNREADABLE,
            app_value=pair.app, crm_value=pair.crm,
        )
    )  # fmt: skip


def still_refused(trouble: FieldTrouble, side: Side, value: Value, field_map: FieldMap) -> bool:
    return (
        trouble.side is side
        and trouble.value_digest == digest_value(value)
        and trouble.definition == field_map.definition
    )


def has_new_troubles(link: Link, troubles: Mapping[str, FieldTrouble]) -> bool:
    """True when the link's stored troubles have to change."""
    return dict(link.troubles) != dict(troubles)


def _shown_values_hold(answer: Resolution, field_map: FieldMap, app: Value, crm: Value) -> bool:
    return _same_question(answer.shown_app, answer.shown_crm, field_map, app, crm)


def _same_question(shown_app: Value, shown_crm: Value, field_map: FieldMap, app: Value, crm: Value) -> bool:
    return field_map.canonical_app(shown_app) == field_map.canonical_app(app) and field_map.canonical_crm(
        shown_crm
    ) == field_map.canonical_crm(crm)


def _draft(
    field_map: FieldMap, app: Value, crm: Value, pair: BasePair | None, evidence: Evidence | None
) -> ConflictDraft:
    return ConflictDraft(
        kind=ConflictKind.FIELD,
        mapping_id=field_map.mapping_id,
        app_field=field_map.app_field,
        base_app=pair.app if pair else None,
        base_crm=pair.crm if pair else None,
        agreed=pair is not None,
        app_value=app,
        crm_value=crm,
        app_changed=evidence.app.get(field_map.app_field) if evidence else None,
        crm_changed=evidence.crm.get(field_map.remote_field) if evidence else None,
        code="conflict.field",
    )
