"""Which contact is the same person as a record without a link. Ambiguity is a result, not a guess.

The ladder: our own marker on the record, then e-mail, then phone. A key counts only when it is
unique on both sides over everything observed: one contact and one record, both free. A phone
number alone joins nobody whose two e-mail addresses differ (shared lines are common).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from crm.model import AppContact, ContactState, KeyHit, LinkState, LinkView, RemoteRecord, Rule, Value

TAKEN = "match.email_taken"
AMBIGUOUS = "match.ambiguous"
DUPLICATE = "match.duplicate_in_crm"
MADE_AND_TAKEN = "match.taken"
FOREIGN = "match.foreign_marker"
GONE = "state.deleted"
_ENOUGH_ALIKE = 2


@dataclass(frozen=True, slots=True)
class Match:
    """One of: a contact to link, a question for a person, hold (wait), or nobody."""

    contact_id: str = ""
    rule: Rule = Rule.AGREED
    review_code: str = ""
    candidates: tuple[str, ...] = ()
    hold: bool = False
    """A create in flight could be this record: look again when it is settled."""
    asked: bool = False
    """The same question is asked by another record or contact."""


NOBODY = Match()
HOLD = Match(hold=True)


def resolve_marker(marker: str, organization_id: str, contact: AppContact | None, link: LinkView | None) -> Match:
    """A record carries a marker ``<organization>:<contact>``: whose is it?

    ``contact`` and ``link`` are what we know under the marker's contact id. Another organization's
    marker, a deleted contact's, and one on a second record are never a hit.
    """
    owner, _, contact_id = marker.partition(":")
    if owner != organization_id:
        return Match(review_code=FOREIGN)
    if contact is None or contact.state is not ContactState.LIVE:
        return Match(review_code=GONE, candidates=(f"contact:{contact_id}",))
    if link is not None and link.held:
        return HOLD
    if link is not None and link.link.state is not LinkState.PENDING:
        return Match(review_code=DUPLICATE, candidates=(f"contact:{contact_id}", f"record:{link.link.remote_id}"))
    return Match(contact_id=contact_id, rule=Rule.MATCHED_MARKER)


def may_come_from(record: RemoteRecord, creates: Iterable[Mapping[str, Value]]) -> bool:
    """Whether a record without our marker could be what one of these creates (their values) has made.

    The CRM may have rewritten what was sent, and a person may have edited since: one text in common is enough.
    """
    if record.marker:
        return False
    seen: dict[str, str] = {}
    for values in creates:
        seen = seen or {name: _letters(value) for name, value in record.values.items()}
        texts = {name: letters for name, value in values.items() if (letters := _letters(value))}
        if not texts or any(seen.get(name) == letters for name, letters in texts.items()):
            return True
    return False


def resolve_lost(record: RemoteRecord, sent: Mapping[str, Mapping[str, Value]]) -> Match:
    """The contact whose creation had no answer and has made this record, which has no marker and no key of anybody.

    ``sent``: contact id -> what is sent for it. The record holds all texts of that; or one, another value, and no
    other text in the place of those that it may have left out. Where several contacts would send the same, a
    person is asked.
    """
    if record.marker:
        return NOBODY
    seen = {name: _letters(value) for name, value in record.values.items()}
    fitting = []
    for contact_id, values in sent.items():
        texts = {name: letters for name, value in values.items() if (letters := _letters(value))}
        shown = [seen[name] == letters for name, letters in texts.items() if seen.get(name)]
        alike = sum(record.values.get(name) == value for name, value in values.items() if _is_telling(value))
        if shown and all(shown) and (len(shown) == len(texts) or len(shown) + alike >= _ENOUGH_ALIKE):
            fitting.append(contact_id)
    if len(fitting) > 1:
        found = (*(f"contact:{each}" for each in fitting), f"record:{record.remote_id}")
        return Match(review_code=AMBIGUOUS, candidates=found)
    return Match(contact_id=fitting[0], rule=Rule.MATCHED_MADE) if fitting else NOBODY


def _is_telling(value: Value) -> bool:
    """A number or a list of words; yes and no are everybody's."""
    return not isinstance(value, str | bool) and value not in (None, ())


def _letters(value: Value) -> str:
    return "".join(ch for ch in value.casefold() if ch.isalnum()) if isinstance(value, str) else ""


def resolve_record(remote_id: str, email: KeyHit | None, phone: KeyHit | None, *, has_email: bool) -> Match:
    """The partner of a free record by its keys. ``email`` and ``phone`` are the hits of its own keys."""
    if email is not None and email.contacts:
        return _unique(remote_id, email, Rule.MATCHED_EMAIL)
    if email is not None and email.creating:
        return HOLD
    if email is not None and len(email.records) > 1 and _others(email.records, remote_id):
        return _duplicates(email, remote_id)
    if not has_email and phone is not None:
        if phone.creating:
            return HOLD
        if phone.contacts:
            return _unique(remote_id, phone, Rule.MATCHED_PHONE)
        if _others(phone.records, remote_id):
            return _duplicates(phone, remote_id)
    return NOBODY


def resolve_contact(contact_id: str, email: KeyHit | None, phone: KeyHit | None, *, has_email: bool) -> Match:
    """Whether a contact without link may be created in the CRM: nobody else has its keys.

    A hit on a free record was already linked from the record's side; what is left is a record that
    is taken, several records, or several contacts with one key.
    """
    key = email if has_email else phone
    if key is None:
        return NOBODY
    if key.records:
        code = AMBIGUOUS if len(key.records) > 1 or key.free_records else TAKEN
        return Match(
            review_code=code,
            candidates=_candidates(key),
            asked=bool(key.free_records) or _is_asked(key.free_contacts, contact_id),
        )
    if _others(key.contacts, contact_id):
        asked = _is_asked(key.free_contacts, contact_id)
        return Match(review_code=AMBIGUOUS, candidates=_candidates(key), asked=asked)
    return NOBODY


def _unique(remote_id: str, key: KeyHit, rule: Rule) -> Match:
    if len(key.contacts) == 1 and not _others(key.records, remote_id):
        if key.free_contacts:
            return Match(contact_id=key.contacts[0], rule=rule)
        if key.contacts[0] in key.creating:
            return HOLD
        return Match(review_code=DUPLICATE, candidates=_candidates(key))
    return Match(review_code=AMBIGUOUS, candidates=_candidates(key), asked=_is_asked(key.free_records, remote_id))


def _duplicates(key: KeyHit, remote_id: str) -> Match:
    """Several records with one key and no contact of ours."""
    asked = _is_asked(key.free_records, remote_id)
    return Match(review_code=DUPLICATE, candidates=_candidates(key), asked=asked)


def _is_asked(free: tuple[str, ...], own: str) -> bool:
    """Several share one key: the first of them asks for all."""
    return bool(free) and own != free[0]


def _others(ids: tuple[str, ...], own: str) -> bool:
    return any(item != own for item in ids)


def _candidates(key: KeyHit) -> tuple[str, ...]:
    return (*(f"contact:{item}" for item in key.contacts), *(f"record:{item}" for item in key.records))
