"""An organization begins with its owner, or not at all."""

from __future__ import annotations

import pytest
from django.db import connection

from adsapp_crm import selectors
from adsapp_crm.models import Contact, Membership, Organization, User
from adsapp_crm.models.choices import Role
from adsapp_crm.services.contacts import create_contact
from adsapp_crm.services.organizations import add_member, change_region, create_organization
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.tenancy import organization_context

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "a long and rare one"


def test_an_organization_has_an_owner_who_can_log_in():
    made, user = create_organization(
        " Acme ", email="Ann@Example.com", password=PASSWORD, region="nl", time_zone="Europe/Amsterdam", staff=True
    )
    assert (made.name, made.region, made.time_zone) == ("Acme", "NL", "Europe/Amsterdam")
    assert (user.email, user.is_staff, user.is_superuser) == ("ann@example.com", True, False)
    assert user.check_password(PASSWORD)
    assert [(each.organization_id, each.role) for each in selectors.places_of(user.pk)] == [(made.pk, "owner")]
    with organization_context(made.pk):
        assert Organization.objects.get() == made
        assert Membership.objects.count() == 1


def test_a_person_who_is_known_owns_the_second_one_too():
    """Their password and rights stay what they were."""
    _first, user = create_organization("One", email="ann@example.com", password=PASSWORD)
    second, same = create_organization("Two", email="ANN@example.com", password="ignored and long", staff=True)
    assert same == user
    same.refresh_from_db()
    assert (same.is_staff, same.check_password(PASSWORD)) == (False, True)
    assert len(selectors.places_of(user.pk)) == 2
    with organization_context(second.pk):
        assert Membership.objects.get().user_id == user.pk


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        ({"name": "  "}, "organization.invalid", "name"),
        ({"region": "Netherlands"}, "organization.invalid", "region"),
        ({"region": "XX"}, "organization.invalid", "region"),
        ({"time_zone": "Mars/Olympus"}, "organization.invalid", "time_zone"),
        ({"time_zone": ""}, "organization.invalid", "time_zone"),
        ({"email": ""}, "user.email", "email"),
        ({"email": "ann at example.com"}, "user.email", "email"),
        ({"password": "password"}, "user.password", "password"),
        ({"password": "short"}, "user.password", "password"),
    ],
    ids=str,
)
def test_a_wrong_value_is_named_and_nothing_is_made(wrong, code, field):
    given = {"name": "Acme", "email": "ann@example.com", "password": PASSWORD, **wrong}
    with pytest.raises(RefusedError) as caught:
        create_organization(given.pop("name"), **given)
    assert {(each.code, each.field, each.pointer) for each in caught.value.refusals} == {(code, field, f"/{field}")}
    assert PASSWORD not in str(caught.value)
    assert User.objects.count() == 0
    assert list(selectors.organization_ids()) == []


def test_members_are_let_in_and_change_their_role(tenant):
    with tenant.context():
        made = add_member("bea@example.com", Role.VIEWER)
        add_member("BEA@example.com", Role.ADMIN)
        with pytest.raises(RefusedError):
            add_member("nobody", Role.VIEWER)
        assert [each.role for each in Membership.objects.filter(user=made.user)] == ["admin"]
    assert User.objects.count() == 2


def test_another_region_reads_phone_numbers_anew(tenant):
    """The keys of contacts with a phone are made again by the new rules."""
    with tenant.context():
        for values in ({"phone": "0612345678"}, {"phone": "202 555 0123"}, {"firstName": "Ann"}):
            create_contact(values)
        change_region("us")
        assert Contact.objects.filter(phone_normalized__isnull=True).count() == 2
        assert Contact.objects.fill_match_keys() == 2
        keys = sorted(Contact.objects.values_list("phone_normalized", flat=True))
        with pytest.raises(RefusedError):
            change_region("nowhere")
        assert Organization.objects.get().region == "US"
    assert "+12025550123" in keys
    assert "+31612345678" not in keys
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('app.org', true)")
        assert cursor.fetchone()[0] in (None, "")
