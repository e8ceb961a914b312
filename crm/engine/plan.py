"""What is to happen to one pair of a contact and a record. Pure: no I/O, no clock, no database.

``plan_link`` answers for a link, ``plan_pairing`` for a contact and a record that are about to
become one, ``plan_create_in_crm`` and ``plan_create_in_app`` for those that have no partner. Each
returns an ``Action`` or ``None`` ("nothing to do"), and says when it needs evidence of change
times first. Record decisions (who lives, who was deleted or merged) stand here; the fields of a
pair in ``fields``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from crm.engine.decide import Decision, Verdict
from crm.engine.digest import digest_base, digest_record
from crm.engine.fields import Fields, base_pair, has_new_troubles, plan_fields, pull_field, push_field, still_refused
from crm.engine.rulebook import Rulebook
from crm.mapping.field_map import is_blank
from crm.model import (
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
    Precondition,
    RemoteRecord,
    RemoteState,
    Rule,
    Side,
)


@dataclass(frozen=True, slots=True)
class Planned:
    action: Action | None
    contested: tuple[str, ...] = ()
    """Mapping ids that newest_wins cannot decide without evidence; ``action`` is None then."""


NOTHING = Planned(None)


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
    fields = plan_fields(view, record, book, evidence)
    if fields.contested:
        return Planned(None, tuple(fields.contested))
    _close_record_questions(view, fields)
    is_told = has_new_troubles(view.link, fields.troubles) or view.link.attempts > 0  # of a refusal that is over
    if not (fields.effects or fields.conflicts or fields.closes or is_told):
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
    fields = plan_fields(view, record, book, evidence, first_meeting=True)
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
        if trouble and still_refused(trouble, Side.CRM, value, field_map):
            troubles[field_map.mapping_id] = trouble
            continue
        effect = push_field(field_map, value, None, Decision(Verdict.PUSH, Rule.CREATED, 8), troubles)
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
        effect = pull_field(field_map, None, value, Decision(Verdict.PULL, Rule.CREATED, 8), troubles)
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
    fields = plan_fields(pair, survivor, book, evidence, merged=follows)
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
    fields = plan_fields(_of_others(replace(view, contact=heir), book), record, book, evidence)
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
        pair = base_pair(view.link, field_map)
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


def _close_record_questions(view: LinkView, fields: Fields) -> None:
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
