"""Who is the same person: ``crm.engine.match``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm.engine.match import (
    HOLD,
    NOBODY,
    Match,
    may_come_from,
    resolve_contact,
    resolve_lost,
    resolve_marker,
    resolve_record,
)
from crm.model import ContactState, KeyHit, LinkState, Rule
from tests.crm.engine.build import contact, record, view

ORG = "org-1"


def hit(contacts="", free="", records="", free_records="", creating=""):
    return KeyHit(*(tuple(text.split()) for text in (contacts, free, records, free_records, creating)))


@pytest.mark.parametrize(
    ("marker", "owner", "link", "expected"),
    [
        ("org-1:c1", contact(), None, Match("c1", Rule.MATCHED_MARKER)),
        ("org-2:c1", contact(), None, Match(review_code="match.foreign_marker")),
        ("org-1:c1", None, None, Match(review_code="state.deleted", candidates=("contact:c1",))),
        (
            "org-1:c1",
            contact(state=ContactState.DELETED),
            None,
            Match(review_code="state.deleted", candidates=("contact:c1",)),
        ),
        ("org-1:c1", contact(), view(held=True), HOLD),
        ("org-1:c1", contact(), view(link={"state": LinkState.PENDING}), Match("c1", Rule.MATCHED_MARKER)),
        (
            "org-1:c1",
            contact(),
            view(),
            Match(review_code="match.duplicate_in_crm", candidates=("contact:c1", "record:r1")),
        ),
    ],
)
def test_a_marker_is_a_hit_only_for_our_own_living_free_contact(marker, owner, link, expected):
    """Another organization's, a deleted contact's, and a second record's marker are never one."""
    assert resolve_marker(marker, ORG, owner, link) == expected


@pytest.mark.parametrize(
    ("email", "phone", "has_email", "expected"),
    [
        (hit("c1", "c1", "r1", "r1"), None, True, Match("c1", Rule.MATCHED_EMAIL)),
        (
            hit("c1", "", "r1", "r1"),
            None,
            True,
            Match(review_code="match.duplicate_in_crm", candidates=("contact:c1", "record:r1")),
        ),
        (
            hit("c1 c2", "c1 c2", "r1", "r1"),
            None,
            True,
            Match(review_code="match.ambiguous", candidates=("contact:c1", "contact:c2", "record:r1")),
        ),
        (
            hit("c1", "c1", "r1 r2", "r1 r2"),
            None,
            True,
            Match(review_code="match.ambiguous", candidates=("contact:c1", "record:r1", "record:r2")),
        ),
        (hit("c1", "", "r1", "r1", "c1"), None, True, HOLD),
        (hit("", "", "r1", "r1", "c1"), None, True, HOLD),
        (
            hit("", "", "r1 r2", "r1 r2"),
            None,
            True,
            Match(review_code="match.duplicate_in_crm", candidates=("record:r1", "record:r2")),
        ),
        (hit("", "", "r1", "r1"), hit("c1", "c1", "r1", "r1"), True, NOBODY),
        (None, hit("c1", "c1", "r1", "r1"), False, Match("c1", Rule.MATCHED_PHONE)),
        (
            None,
            hit("", "", "r1 r2", "r1 r2"),
            False,
            Match(review_code="match.duplicate_in_crm", candidates=("record:r1", "record:r2")),
        ),
        (None, hit("", "", "r1", "r1", "c1"), False, HOLD),
        (None, hit("", "", "r1", "r1"), False, NOBODY),
        (None, None, False, NOBODY),
    ],
)
def test_a_record_finds_its_contact_by_a_key_that_is_unique_on_both_sides(email, phone, has_email, expected):
    """One and one, both free, is a pair; taken or several is a question; a number joins no two addresses."""
    assert resolve_record("r1", email, phone, has_email=has_email) == expected


@pytest.mark.parametrize(
    ("email", "phone", "has_email", "code", "asked"),
    [
        (hit("c1", "c1"), None, True, "", False),
        (hit("c1 c2", "c1 c2"), None, True, "match.ambiguous", False),
        (hit("c1", "c1", "r1"), None, True, "match.email_taken", False),
        (hit("c1", "c1", "r1", "r1"), None, True, "match.ambiguous", True),
        (hit("c1", "c1", "r1 r2"), None, True, "match.ambiguous", False),
        (hit("c0 c1", "c0 c1"), None, True, "match.ambiguous", True),
        (None, hit("c1 c2"), True, "", False),
        (None, hit("c1 c2"), False, "match.ambiguous", False),
        (None, None, False, "", False),
    ],
)
def test_a_contact_alone_is_created_only_when_nobody_else_has_its_key(email, phone, has_email, code, asked):
    """Otherwise it is a question, asked once."""
    match = resolve_contact("c1", email, phone, has_email=has_email)

    assert (match.review_code, match.asked) == (code, asked)


ADA = {"first": "Ada", "mail": "ada@x.nl", "tel": "06 12345678"}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"c1": ADA}, Match("c1", Rule.MATCHED_MADE)),
        ({"c1": {"first": "ADA", "mail": "ada@x.nl", "city": "Turin"}}, Match("c1", Rule.MATCHED_MADE)),
        ({"c1": {"first": "Ada", "mail": "bea@x.nl"}}, NOBODY),
        ({"c1": {"first": "Ada", "city": "Turin"}}, NOBODY),
        ({"c1": {"first": "", "out": False}}, NOBODY),
        ({}, NOBODY),
        (
            {"c1": ADA, "c2": ADA},
            Match(review_code="match.ambiguous", candidates=("contact:c1", "contact:c2", "record:r1")),
        ),
    ],
)
def test_a_record_is_what_a_lost_create_made_when_it_holds_what_was_sent(sent, expected):
    """All texts, or several and no other in the place of the rest; of two that sent the same a person says which."""
    assert resolve_lost(record(), sent) == expected


def test_a_record_with_a_marker_tells_itself_whose_it_is():
    assert resolve_lost(record(marker="org-1:c2"), {"c1": ADA}) == NOBODY


def test_a_record_with_a_mark_of_its_own_came_from_no_other_create():
    """Without one it may have, where one text is the same, or where nothing was sent that could tell."""
    made = record(firstname="Ada")
    assert may_come_from(made, [{"firstname": "ada "}])
    assert may_come_from(made, [{}])
    assert not may_come_from(made, [{"firstname": "Grace"}])
    assert not may_come_from(replace(made, marker="org-1:c2"), [{"firstname": "Ada"}])
