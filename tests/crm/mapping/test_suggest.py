"""Pairs of fields are proposed by name, kind and values, with the reason, and never a field twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.mapping.app_fields import APP_FIELDS, app_field
from crm.mapping.kinds import Kind
from crm.mapping.suggest import LEAST_SCORE, MOST, suggest, words_of
from crm.model import Direction, FieldDefinition


def pairs_of(found):
    return {(each.app_field, each.remote_field) for each in found}


@pytest.mark.parametrize(
    ("ours", "name", "label", "kind"),
    [
        ("postalCode", "MailingPostalCode", "Mailing Zip/Postal Code", "text"),
        ("postalCode", "zip", "Postal code", "text"),
        ("region", "state", "State/Region", "text"),
        ("jobTitle", "Title", "Title", "text"),
        ("birthday", "date_of_birth", "Date of birth", "date"),
        ("company", "company", "Company name", "text"),
        ("whatsappNumber", "hs_whatsapp_phone_number", "WhatsApp Phone Number", "phone"),
        ("custom.loyaltyTier", "Loyalty_Tier__c", "Loyalty tier", "choice"),
    ],
)
def test_fields_that_are_called_alike_are_proposed(ours, name, label, kind):
    found = suggest([app_field(ours)], [FieldDefinition(name, label, kind, "any")])
    assert pairs_of(found) == {(ours, name)}


def test_a_field_that_cannot_hold_the_value_is_not_proposed_whatever_it_is_called():
    found = suggest([APP_FIELDS["birthday"]], [FieldDefinition("birthday", "Birthday", "number", "number")])
    assert found == []


def test_values_that_agree_speak_for_fields_with_strange_names():
    """An account's own field with a number for a name is found by what it holds; two equal values prove nothing."""
    strange = [FieldDefinition("cf_9f31", "Field 31", "text", "varchar")]
    cities = ["Ghent", "Lyon", "Porto", "Turin"]
    held = [({"city": each}, {"cf_9f31": each.upper() if each == "Lyon" else each}) for each in cities]
    (found,) = suggest([APP_FIELDS["city"]], strange, [*held, *held])
    assert (found.app_field, found.remote_field, found.compared, found.equal) == ("city", "cf_9f31", 8, 6)
    assert suggest([APP_FIELDS["city"]], strange, [({"city": "Ghent"}, {"cf_9f31": "Ghent"})] * 5) == []


def test_values_that_differ_speak_against_fields_that_are_called_alike():
    held = [({"city": "Ghent"}, {"city": "BE-9000"}), ({"city": "Lyon"}, {"city": "FR-69"})] * 2
    held += [({"city": "Porto"}, {"city": "Porto"}), ({"city": "Turin"}, {"city": "Turin"})]
    assert suggest([APP_FIELDS["city"]], [FieldDefinition("city", "City", "text", "string")], held) == []


def test_a_field_that_the_crm_keeps_for_itself_is_proposed_for_reading():
    field = FieldDefinition("language", "Language", "text", "string", writable=False)
    (found,) = suggest([APP_FIELDS["language"]], [field])
    assert found.direction is Direction.FROM_CRM


def test_what_people_refused_is_proposed_only_for_a_field_that_says_so():
    near = FieldDefinition("email_optional", "Email optional", "boolean", "bool")
    exact = FieldDefinition("HasOptedOutOfEmail", "Email Opt Out", "boolean", "boolean")
    assert suggest([APP_FIELDS["emailOptOut"]], [near]) == []
    assert pairs_of(suggest([APP_FIELDS["emailOptOut"]], [near, exact])) == {("emailOptOut", "HasOptedOutOfEmail")}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Home_Street__c", "home street"),
        ("homeStreet", "home street"),
        ("hs_language", "language"),
        ("URLOfCV2", "url of cv 2"),
        ("", ""),
    ],
)
def test_names_become_words(name, words):
    assert words_of(name) == words


FIELDS = st.builds(
    FieldDefinition,
    name=st.sampled_from(["city", "town", "zip", "Title", "Ünïcode__c", "", "phone", "hs_note"]) | st.text(max_size=20),
    label=st.text(max_size=30),
    kind=st.sampled_from([*Kind, "unheard-of"]),
    remote_type=st.just("any"),
    writable=st.booleans(),
    multiple=st.booleans(),
)
VALUES = st.none() | st.text(max_size=5) | st.integers() | st.booleans() | st.tuples(st.text(max_size=3))


@given(st.lists(FIELDS, max_size=12), st.lists(st.tuples(VALUES, VALUES), max_size=6))
def test_any_description_gives_each_field_once_and_in_order(definitions, held):
    pairs = [({"city": ours}, {each.name: theirs for each in definitions}) for ours, theirs in held]
    found = suggest(APP_FIELDS.values(), definitions, pairs)
    assert len(found) <= MOST
    assert len({each.app_field for each in found}) == len(found) == len({each.remote_field for each in found})
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert all(each.score >= LEAST_SCORE and each.equal <= each.compared for each in found)
