"""Which unmapped fields could belong together: by name, kind and what both sides hold. Only ever a proposal.

Each proposal says why, so that a person can judge it; nothing here is applied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rapidfuzz import fuzz

from crm.mapping.app_fields import AppField
from crm.mapping.kinds import Kind, canonical, is_blank
from crm.model import Direction, FieldDefinition, Value

LEAST_SCORE: Final = 0.62
LEAST_NAME: Final = 0.75
"""Of the names' likeness, where no values speak for the pair."""
LEAST_CONSENT_NAME: Final = 0.9
"""For fields that say what a person refused: a near miss there is worse than none."""
TELLING_PAIRS: Final = 3
"""Contacts with a value on both sides, below which values say nothing."""
MOST: Final = 10

_SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    "postalCode": ("zip", "zip code", "postcode"),
    "region": ("state", "province", "state region"),
    "phone": ("mobile", "mobile phone", "telephone"),
    "whatsappNumber": ("whatsapp", "whatsapp phone number"),
    "jobTitle": ("title", "position", "function", "role"),
    "company": ("organization", "organisation", "account name", "company name", "employer"),
    "birthday": ("birthdate", "date of birth", "birth date"),
    "street": ("address", "street address", "mailing street"),
    "notes": ("note", "comments", "description"),
    "language": ("preferred language", "locale"),
    "emailOptOut": ("has opted out of email", "unsubscribed from all email", "email opt out"),
    "tags": ("label", "labels", "keywords"),
    "owner": ("owner id", "contact owner"),
}
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_NOISE: Final = frozenset({"custom", "c", "hs", "field", "cf", "mailing", "primary"})
_TEXTS: Final = frozenset({Kind.TEXT, Kind.NAME, Kind.URL, Kind.EMAIL, Kind.PHONE, Kind.COUNTRY, Kind.CHOICE})


@dataclass(frozen=True, slots=True)
class Suggestion:
    app_field: str
    remote_field: str
    direction: Direction
    """From the CRM where it does not let the field be written."""
    score: float
    """0 to 1, for the order only."""
    name: float
    """Likeness of the names, 0 to 1."""
    same_kind: bool
    compared: int
    """Contacts that have a value on both sides."""
    equal: int
    """Of those, how many hold the same."""


def suggest(
    app_fields: Iterable[AppField],
    definitions: Iterable[FieldDefinition],
    pairs: Sequence[tuple[Mapping[str, Value], Mapping[str, Value]]] = (),
    region: str = "",
) -> list[Suggestion]:
    """The likeliest pairs of these unmapped fields, best first, each field at most once, at most ``MOST``.

    ``pairs``: what linked contacts hold, ours and theirs, by field name; a field that was not read is absent.
    """
    theirs = list(definitions)
    names = {each.name: (words_of(each.label), words_of(each.name)) for each in theirs}
    judged = [
        found
        for ours in app_fields
        for each in theirs
        if (found := _judged(ours, each, names[each.name], pairs, region)) is not None
    ]
    chosen: list[Suggestion] = []
    for each in sorted(judged, key=lambda one: (-one.score, one.app_field, one.remote_field)):
        if all(each.app_field != kept.app_field and each.remote_field != kept.remote_field for kept in chosen):
            chosen.append(each)
    return chosen[:MOST]


def _judged(
    ours: AppField,
    theirs: FieldDefinition,
    names: tuple[str, str],
    pairs: Sequence[tuple[Mapping[str, Value], Mapping[str, Value]]],
    region: str,
) -> Suggestion | None:
    kind = Kind.of(theirs.kind)
    fit = _fit(ours, kind, multiple=theirs.multiple)
    if fit == 0:
        return None
    name = _likeness(ours, names)
    compared, equal, different = _agreement(ours, theirs.name, pairs, region)
    telling = compared >= TELLING_PAIRS and different > 1
    if ours.consent and name < LEAST_CONSENT_NAME:
        return None
    if telling:
        score = 0.2 * name + 0.1 * fit + 0.7 * equal / compared
    elif name < LEAST_NAME:
        return None
    else:
        score = 0.85 * name + 0.15 * fit
    if score < LEAST_SCORE:
        return None
    direction = Direction.BIDIRECTIONAL if theirs.writable else Direction.FROM_CRM
    return Suggestion(ours.name, theirs.name, direction, score, name, kind is ours.kind, compared, equal)


def _fit(ours: AppField, kind: Kind, *, multiple: bool) -> float:
    """1 for the same kind, less where a value must be turned into another kind, 0 where it cannot."""
    if ours.kind is Kind.TAGS or multiple:
        return 1.0 if (ours.kind is Kind.TAGS or ours.custom) and (multiple or kind is Kind.TAGS) else 0.0
    if ours.kind is kind:
        return 1.0
    if ours.custom:
        return 0.0 if kind is Kind.REFERENCE else 0.8
    if ours.kind in _TEXTS and kind in _TEXTS:
        return 0.7 if Kind.TEXT in (ours.kind, kind) or Kind.NAME in (ours.kind, kind) else 0.3
    return 0.7 if {ours.kind, kind} == {Kind.DATE, Kind.DATETIME} else 0.0


def words_of(name: str) -> str:
    """A field's name as words: ``Home_Street__c`` and ``homeStreet`` are ``home street``."""
    words = [word.lower() for word in _WORD.findall(name)]
    return " ".join(word for word in words if word not in _NOISE)


def _likeness(ours: AppField, theirs: tuple[str, str]) -> float:
    own = words_of(ours.attribute if ours.custom else ours.name)
    called = (own, *_SYNONYMS.get(ours.name, ()))
    return max(fuzz.token_sort_ratio(one, other) for one in called for other in theirs) / 100


def _agreement(
    ours: AppField, remote_field: str, pairs: Sequence[tuple[Mapping[str, Value], Mapping[str, Value]]], region: str
) -> tuple[int, int, int]:
    """Contacts with a value on both sides, how many of them agree, and how many different values ours has."""
    compared = equal = 0
    seen: set[str] = set()
    for app, crm in pairs:
        mine, other = app.get(ours.name), crm.get(remote_field)
        if is_blank(mine) or is_blank(other):
            continue
        compared += 1
        plain = canonical(ours.kind, mine, region)
        seen.add(repr(plain))
        equal += plain == canonical(ours.kind, other, region)
    return compared, equal, len(seen)
