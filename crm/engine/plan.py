"""What is to happen to one pair of a contact and a record. Pure: no I/O, no clock, no database.

``plan_link`` answers for a link, ``plan_pairing`` for a contact and a record that are about to
become one, ``plan_create_in_crm`` and ``plan_create_in_app`` for those that have no partner. Each
returns an ``Action`` or ``None`` ("nothing to do"), and says when it needs evidence of change
times first. Record decisions (who lives, who was deleted or merged) stand here; field decisions
in ``decide``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from crm.engine.decide import Decision, Facts, Rules, Verdict, decide_field
from crm.engine.digest import digest_base, digest_record, digest_value
from crm.engine.fights import is_fought
from crm.engine.life import left_as_it_stands, stands, with_outdated
from crm.engine.newest import resolve_newest
from crm.errors import MappingError
from crm.mapping.field_map import FieldMap, is_blank
from crm.model import (
    UNKNOWN,
    Action,
    ActionKind,
    AppContact,
    BasePair,
    ConflictDraft,
    ConflictKind,
    ContactState,
    DeletionPolicy,
    Direction,
    Effect,
    Evidence,
    FieldTrouble,
    Link,
    LinkState,
    LinkView,
    Policy,
    Precondition,
    RemoteRecord,
    RemoteState,
    Resolution,
    Rule,
    Seen,
    Side,
    Unknown,
    Value,
)

PINGPONG = "rule.automation_pingpong"


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Mapping and policy of one record type of one connection, as of the start of a run."""

    record_type: str
    maps: tuple[FieldMap, ...]
    policy: Policy
    digest: str
    """Changes with mapping and policy: an approved line does not outlive it."""
    deleted_tag: str = ""
    """Tag for a contact whose record was deleted in the CRM."""

    @property
    def awaits_scan(self) -> bool:
        """A mapping was changed since the last complete scan."""
        return any(field_map.awaits_scan for field_map in self.maps)

    @property
    def remote_fields(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(field_map.remote_field for field_map in self.maps))


@dataclass(frozen=True, slots=True)
class Planned:
    action: Action | None
    contested: tuple[str, ...] = ()
    """Mapping ids that newest_wins cannot decide without evidence; ``action`` is None then."""


NOTHING = Planned(None)


@dataclass(slots=True)
class _Fields:
    """What the field decisions of one pair add up to."""

    effects: list[Effect]
    conflicts: list[ConflictDraft]
    closes: list[str]
    troubles: dict[str, FieldTrouble]
    contested: list[str]


def plan_link(view: LinkView, record: RemoteRecord, book: Rulebook, evidence: Evidence | None = None) -> Planned:
    """The decision table of records, then of fields, for a live link."""
    if view.held or view.excluded or view.link.state is not LinkState.LIVE:
        return NOTHING
    contact_gone = view.contact.state is not ContactState.LIVE
    record_gone = record.state is not RemoteState.LIVE
    if record.state is RemoteState.MERGED and not contact_gone:
        return NOTHING  # the survivor brings the former id with it, see plan_relink
    if contact_gone or record_gone:
        return _plan_gone(view, record, book)
    if _given_up(view, record, book):
        return NOTHING
    fields = _plan_fields(view, record, book, evidence)
    if fields.contested:
        return Planned(None, tuple(fields.contested))
    _close_record_questions(view, fields)
    if not (fields.effects or fields.conflicts or fields.closes or _new_troubles(view.link, fields.troubles)):
        return NOTHING
    return Planned(
        Action(
            kind=ActionKind.SYNC,
            record_type=book.record_type,
            contact_id=view.contact.contact_id,
            remote_id=record.remote_id,
            link_id=view.link.link_id,
            effects=tuple(fields.effects),
            conflicts=tuple(fields.conflicts),
            closes=tuple(fields.closes),
            troubles=fields.troubles,
            before=_precondition(view.contact, record, view.link.base, book),
        )
    )


def plan_pairing(
    contact: AppContact,
    record: RemoteRecord,
    rule: Rule,
    book: Rulebook,
    link_id: str,
    evidence: Evidence | None = None,
) -> Planned:
    """A contact and a record that are the same person become a pair; nothing was agreed yet."""
    view = LinkView(Link(link_id, contact.contact_id, book.record_type, record.remote_id), contact)
    fields = _plan_fields(view, record, book, evidence, first_meeting=True)
    if fields.contested:
        return Planned(None, tuple(fields.contested))
    return Planned(
        Action(
            kind=ActionKind.LINK,
            record_type=book.record_type,
            contact_id=contact.contact_id,
            remote_id=record.remote_id,
            link_id=link_id,
            rule=rule,
            effects=tuple(fields.effects),
            conflicts=tuple(fields.conflicts),
            troubles=fields.troubles,
            before=_precondition(contact, record, {}, book, unmatched=True),
        )
    )


def plan_create_in_crm(
    contact: AppContact, book: Rulebook, link_id: str, pending: Link | None = None, rule: Rule = Rule.CREATED
) -> Action | None:
    """A record for a contact that has none; None when the rules say that none is made."""
    if not book.policy.create_in_crm:
        return None
    effects: list[Effect] = []
    troubles: dict[str, FieldTrouble] = {}
    for field_map in book.maps:
        value = contact.values.get(field_map.app_field)
        if field_map.direction is Direction.FROM_CRM or is_blank(value) or (field_map.consent and not value):
            continue
        trouble = (pending.troubles if pending else {}).get(field_map.mapping_id)
        if trouble and _still_refused(trouble, Side.CRM, value, field_map):
            troubles[field_map.mapping_id] = trouble
            continue
        effect = _push(field_map, value, None, Decision(Verdict.PUSH, Rule.CREATED, 8), troubles)
        if effect is not None:
            effects.append(effect)
    return Action(
        kind=ActionKind.CREATE_IN_CRM,
        record_type=book.record_type,
        contact_id=contact.contact_id,
        link_id=link_id,
        rule=rule,
        effects=tuple(effects),
        troubles=troubles,
        before=Precondition(app_version=contact.version, rules_digest=book.digest, unmatched=True),
    )


def plan_create_in_app(
    record: RemoteRecord, book: Rulebook, link_id: str, contact_id: str, rule: Rule = Rule.CREATED
) -> Action | None:
    """A contact for a record that has none; None when the rules say that none is made."""
    if not book.policy.create_in_app:
        return None
    effects: list[Effect] = []
    troubles: dict[str, FieldTrouble] = {}
    for field_map in book.maps:
        value = record.values.get(field_map.remote_field)
        if field_map.direction is Direction.TO_CRM or is_blank(value) or (field_map.consent and not value):
            continue
        effect = _pull(field_map, None, value, Decision(Verdict.PULL, Rule.CREATED, 8), troubles)
        if effect is not None:
            effects.append(effect)
    return Action(
        kind=ActionKind.CREATE_IN_APP,
        record_type=book.record_type,
        contact_id=contact_id,
        remote_id=record.remote_id,
        link_id=link_id,
        rule=rule,
        effects=tuple(effects),
        troubles=troubles,
        before=Precondition(
            remote_digest=digest_record(record, book.remote_fields),
            rules_digest=book.digest,
            unmatched=True,
            remote_modified_at=record.modified_at,
        ),
    )


def plan_relink(
    survivor: RemoteRecord,
    views: list[LinkView],
    own: LinkView | None,
    book: Rulebook,
    evidence: Evidence | None = None,
) -> Planned:
    """Records were merged in the CRM: ``views`` are the links of the merged-away ids, oldest first.

    One link lives on: the survivor's own if that is live, else the oldest. It keeps what the app held
    and forgets what the CRM held, so that an untouched field takes the survivor's value and an edited
    one is contested. The others are superseded, and a person is asked about their contacts. A row of
    the survivor that has ended makes room.
    """
    live = [view for view in views if view.link.state is LinkState.LIVE]
    if any(view.held for view in live) or (own is not None and own.held):
        return NOTHING
    ended = own if own is not None and own.link.state is not LinkState.LIVE else None
    keeper = own if ended is None and own is not None else (live[0] if live else None)
    others = [view for view in live if view is not keeper]
    if keeper is None or (keeper is own and not others):
        return NOTHING
    follows = keeper is not own
    pair = _of_others(keeper, book) if follows else keeper
    fields = _plan_fields(pair, survivor, book, evidence, merged=follows)
    if fields.contested:
        return Planned(None, tuple(fields.contested))
    conflicts = list(fields.conflicts)
    if others:
        candidates = [keeper.contact.contact_id, *(view.contact.contact_id for view in others)]
        conflicts.append(
            ConflictDraft(
                ConflictKind.MERGE,
                code="state.merged",
                candidates=tuple(f"contact:{contact_id}" for contact_id in candidates),
            )
        )
    return Planned(
        Action(
            kind=ActionKind.RELINK,
            record_type=book.record_type,
            contact_id=keeper.contact.contact_id,
            remote_id=survivor.remote_id,
            link_id=keeper.link.link_id,
            rule=Rule.MERGED,
            effects=tuple(fields.effects),
            conflicts=tuple(conflicts),
            closes=tuple(fields.closes),
            troubles=fields.troubles,
            superseded=tuple(view.link.link_id for view in (*others, ended) if view is not None),
            before=_precondition(keeper.contact, survivor, keeper.link.base, book),
        )
    )


def plan_undelete(view: LinkView, record: RemoteRecord, book: Rulebook, evidence: Evidence | None = None) -> Planned:
    """A record that was deleted lives again under the same id: its link does too, with the base it had."""
    if view.held or view.contact.state is not ContactState.LIVE:
        return NOTHING
    live = replace(view, link=replace(view.link, state=LinkState.LIVE))
    planned = plan_link(live, record, book, evidence)
    if planned.contested:
        return planned
    action = planned.action or Action(
        kind=ActionKind.RELINK,
        record_type=book.record_type,
        contact_id=view.contact.contact_id,
        remote_id=record.remote_id,
        link_id=view.link.link_id,
        before=_precondition(view.contact, record, view.link.base, book),
    )
    return Planned(replace(action, kind=ActionKind.RELINK))


def plan_heir(
    view: LinkView,
    heir: AppContact,
    heir_is_free: bool,
    record: RemoteRecord,
    book: Rulebook,
    evidence: Evidence | None = None,
    *,
    waiting: str = "",
) -> Planned:
    """Our contact was merged into ``heir``: its link follows when the heir has none of its own;
    else it is superseded and a merge of the two records is proposed to a person.
    """
    if view.held or view.link.state is not LinkState.LIVE:
        return NOTHING
    if record.state is not RemoteState.LIVE:
        return _plan_gone(view, record, book)
    if not heir_is_free:
        return Planned(
            Action(
                kind=ActionKind.UNLINK,
                record_type=book.record_type,
                contact_id=view.contact.contact_id,
                remote_id=view.link.remote_id,
                link_id=view.link.link_id,
                rule=Rule.MERGED,
                link_state=LinkState.SUPERSEDED,
                conflicts=(
                    ConflictDraft(
                        ConflictKind.MERGE,
                        code="state.merged",
                        candidates=(f"contact:{heir.contact_id}", f"record:{view.link.remote_id}"),
                    ),
                ),
                before=_precondition(view.contact, record, view.link.base, book),
            )
        )
    fields = _plan_fields(_of_others(replace(view, contact=heir), book), record, book, evidence)
    if fields.contested:
        return Planned(None, tuple(fields.contested))
    return Planned(
        Action(
            kind=ActionKind.RELINK,
            record_type=book.record_type,
            contact_id=heir.contact_id,
            remote_id=record.remote_id,
            link_id=view.link.link_id,
            rule=Rule.MERGED,
            effects=tuple(fields.effects),
            conflicts=tuple(fields.conflicts),
            closes=tuple(fields.closes),
            troubles=fields.troubles,
            superseded=(waiting,) if waiting else (),
            before=_precondition(heir, record, view.link.base, book),
        )
    )


def _given_up(view: LinkView, record: RemoteRecord, book: Rulebook) -> bool:
    """Refused as often as is tried by itself, and nothing of it changed since: a person looks at it."""
    link = view.link
    return (
        bool(link.error_code)
        and link.attempts >= book.policy.max_attempts
        and view.contact.version <= link.synced_version
        and record.modified_at == link.remote_modified_at
        and not view.resolutions
    )


def _plan_gone(view: LinkView, record: RemoteRecord, book: Rulebook) -> Planned:
    """One side was deleted (or both): the policy, unless the other side was edited meanwhile."""
    contact_gone = view.contact.state is not ContactState.LIVE
    record_gone = record.state is not RemoteState.LIVE
    answer = view.resolutions.get("")
    closes = tuple(conflict.conflict_id for conflict in view.conflicts)

    def action(kind: ActionKind, state: LinkState, tag: str = "") -> Planned:
        return Planned(
            Action(
                kind=kind,
                record_type=book.record_type,
                contact_id=view.contact.contact_id,
                remote_id=view.link.remote_id,
                link_id=view.link.link_id,
                rule=Rule.DELETED if answer is None else Rule.CHOSEN,
                closes=closes,
                link_state=state,
                tag=tag,
                before=_precondition(view.contact, record, view.link.base, book),
            )
        )

    if contact_gone and record_gone:
        return action(ActionKind.UNLINK, LinkState.DELETED_IN_APP)
    edited = _edited(view, record, book, app=record_gone)
    if edited and answer is None:
        asked = any(conflict.kind is ConflictKind.DELETE_EDIT for conflict in view.conflicts)
        if asked:
            return NOTHING
        draft = ConflictDraft(
            ConflictKind.DELETE_EDIT, code="state.deleted", app_value="" if contact_gone else "edited",
            crm_value="" if record_gone else "edited",
        )  # fmt: skip
        return Planned(
            Action(
                kind=ActionKind.REVIEW,
                record_type=book.record_type,
                contact_id=view.contact.contact_id,
                remote_id=view.link.remote_id,
                link_id=view.link.link_id,
                conflicts=(draft,),
                before=_precondition(view.contact, record, view.link.base, book),
            )
        )
    if contact_gone:
        follow = answer.side is Side.APP if answer else book.policy.on_app_deleted is not DeletionPolicy.UNLINK
        erased = view.contact.state is ContactState.ERASED
        if (follow or erased) and book.policy.on_app_deleted is not DeletionPolicy.UNLINK:
            return action(ActionKind.DELETE_IN_CRM, LinkState.DELETED_IN_APP)
        return action(ActionKind.UNLINK, LinkState.DELETED_IN_APP)
    follow = answer.side is Side.CRM if answer else book.policy.on_crm_deleted is not DeletionPolicy.UNLINK
    if follow:
        return action(ActionKind.DELETE_IN_APP, LinkState.DELETED_IN_CRM)
    return action(ActionKind.UNLINK, LinkState.DELETED_IN_CRM, tag=book.deleted_tag)


def _edited(view: LinkView, record: RemoteRecord, book: Rulebook, *, app: bool) -> bool:
    """Whether the surviving side moved away from the base in any mapped field."""
    for field_map in book.maps:
        pair = _base(view.link, field_map)
        if pair is None:
            continue
        if app:
            value = view.contact.values.get(field_map.app_field)
            if field_map.canonical_app(value) != field_map.canonical_app(pair.app):
                return True
        elif field_map.remote_field in record.values:
            seen = record.values[field_map.remote_field]
            if field_map.canonical_crm(seen) != field_map.canonical_crm(pair.crm):
                return True
    return False


def _of_others(view: LinkView, book: Rulebook) -> LinkView:
    """A pair of which one side is another one since a merge: nobody has changed a consent, so none is agreed there,
    and an opt-out of either wins.
    """
    consents = {field_map.mapping_id for field_map in book.maps if field_map.consent}
    base = {mapping_id: pair for mapping_id, pair in view.link.base.items() if mapping_id not in consents}
    return replace(view, link=replace(view.link, base=base))


def _plan_fields(
    view: LinkView,
    record: RemoteRecord,
    book: Rulebook,
    evidence: Evidence | None,
    *,
    merged: bool = False,
    first_meeting: bool = False,
) -> _Fields:
    """The field table over all mapped fields of one pair."""
    fields = _Fields([], [], [], {}, [])
    open_by_mapping = {conflict.mapping_id: conflict for conflict in view.conflicts if conflict.mapping_id}
    mapped = set()
    for field_map in book.maps:
        mapped.add(field_map.mapping_id)
        app = view.contact.values.get(field_map.app_field)
        crm: Seen = record.values.get(field_map.remote_field, UNKNOWN)
        pair = _base(view.link, field_map)
        question = open_by_mapping.get(field_map.mapping_id)
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
    fields: _Fields,
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
    fields: _Fields,
) -> None:
    """A push or a pull, unless the far side is known to refuse it or the field is being fought over."""
    side = Side.CRM if decision.verdict is Verdict.PUSH else Side.APP
    source = app if side is Side.CRM else crm
    known = link.troubles.get(field_map.mapping_id)
    if known is not None and _still_refused(known, side, source, field_map):
        fields.troubles[field_map.mapping_id] = known
        return
    build = _push if side is Side.CRM else _pull
    effect = build(field_map, app, crm, decision, fields.troubles)
    if effect is None:
        return
    if is_fought(link.flips.get(field_map.mapping_id), effect, pair, field_map, book.policy.fight_limit):
        fields.troubles[field_map.mapping_id] = FieldTrouble(PINGPONG, side, digest_value(source), field_map.definition)
        return
    fields.effects.append(effect)


def _push(
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


def _pull(
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


def _apply_answer(answer: Resolution, field_map: FieldMap, app: Value, crm: Value, fields: _Fields) -> None:
    """A person chose: the kept value goes to the other side; a typed one to both."""
    chosen = Decision(Verdict.PUSH, Rule.CHOSEN, 6, overrules=True)
    if answer.side is Side.APP:
        effect = _push(field_map, app, crm, chosen, fields.troubles)
        fields.effects.extend([effect] if effect else [])
    elif answer.side is Side.CRM:
        effect = _pull(field_map, app, crm, chosen, fields.troubles)
        fields.effects.extend([effect] if effect else [])
    else:
        push = _push(field_map, answer.value, crm, chosen, fields.troubles)
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


def _base(link: Link, field_map: FieldMap) -> BasePair | None:
    """The pair, unless the CRM's field became another one since."""
    pair = link.base.get(field_map.mapping_id)
    return pair if pair is not None and pair.definition == field_map.definition else None


def _is_revisited(field_map: FieldMap, pair: BasePair) -> bool:
    return pair.version < field_map.revisits_before


def _note_unreadable(field_map: FieldMap, pair: BasePair | None, fields: _Fields) -> None:
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


def _still_refused(trouble: FieldTrouble, side: Side, value: Value, field_map: FieldMap) -> bool:
    return (
        trouble.side is side
        and trouble.value_digest == digest_value(value)
        and trouble.definition == field_map.definition
    )


def _new_troubles(link: Link, troubles: Mapping[str, FieldTrouble]) -> bool:
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
        app_value=app,
        crm_value=crm,
        app_changed=evidence.app.get(field_map.app_field) if evidence else None,
        crm_changed=evidence.crm.get(field_map.remote_field) if evidence else None,
        code="conflict.field",
    )


def _close_record_questions(view: LinkView, fields: _Fields) -> None:
    """Both sides live and a pair: "deleted here, edited there" and "who is this?" no longer exist as questions."""
    moot = (ConflictKind.DELETE_EDIT, ConflictKind.MATCH)
    fields.closes.extend(conflict.conflict_id for conflict in view.conflicts if conflict.kind in moot)


def _precondition(
    contact: AppContact, record: RemoteRecord, base: Mapping[str, BasePair], book: Rulebook, *, unmatched: bool = False
) -> Precondition:
    return Precondition(
        app_version=contact.version,
        remote_digest=digest_record(record, book.remote_fields),
        base_digest=digest_base(base),
        rules_digest=book.digest,
        unmatched=unmatched,
        remote_modified_at=record.modified_at,
    )
