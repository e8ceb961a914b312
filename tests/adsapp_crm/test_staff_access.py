"""Our staff come in by a grant that the organization gives, sees and ends."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command

from adsapp_crm.models import ApiKey, CrmOutgoingWebhook, Membership, StaffAccess, User
from adsapp_crm.models.choices import Role
from adsapp_crm.selectors import places_of
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.services.staff import end_access, let_in
from tests.adsapp_crm.dashboard_stand import BASE, text_of

pytestmark = pytest.mark.django_db(transaction=True)
SAM = "sam@adsapp.example"


@pytest.fixture
def sam(db):
    return User.objects.create_user(SAM, is_staff=True)


def grants_of(tenant):
    with tenant.context():
        return list(StaffAccess.objects.order_by("id"))


def test_an_administrator_lets_staff_in_on_the_people_page_and_ends_it(client, tenant, sam):
    """The page names who, for what and until when; the grant opens the organization until it is ended."""
    client.force_login(tenant.user)
    asked = {"act": "staff", "email": "SAM@adsapp.example", "role": "viewer", "hours": "4", "reason": "ticket <1>"}
    page = text_of(client.post(f"{BASE}/people", asked, follow=True).content.decode())
    assert "sam@adsapp.example" in page
    assert "ticket &lt;1&gt;" in page
    assert [(place.organization_id, place.role) for place in places_of(sam.pk)] == [(tenant.id, "viewer")]
    [grant] = grants_of(tenant)
    assert (grant.expires_at - grant.granted_at).total_seconds() == 4 * 3600

    client.post(f"{BASE}/people", {"act": "end", "grant": str(grant.pk)})
    assert places_of(sam.pk) == []


def test_staff_who_are_in_by_a_grant_give_none(client, tenant, sam):
    """Not even with the role of an administrator; by API neither."""
    with tenant.context():
        let_in(SAM, "admin", hours=1, reason="ticket", by="user:x")
    client.force_login(sam)
    client.post(f"{BASE}/organizations", {"organization": str(tenant.id)})
    asked = {"email": SAM, "role": "admin", "hours": 72, "reason": "more"}
    client.post(f"{BASE}/people", {"act": "staff", **asked})
    answer = client.post("/api/crm/staff-access", asked, "application/json", headers={"X-Organization": str(tenant.id)})
    assert answer.json()["code"] == "staff.by_grant"
    assert len(grants_of(tenant)) == 1


def test_staff_who_are_in_by_a_grant_make_nothing_that_outlasts_it(client, tenant, sam):
    """No member, no role, no key, no webhook, no CRM: neither on the pages nor by API; nor does anybody go."""
    with tenant.context():
        let_in(SAM, "admin", hours=1, reason="ticket", by="user:x")
        member = Membership.objects.create(user=User.objects.create_user("ann@example.com"), role=Role.VIEWER)
    client.force_login(sam)
    client.post(f"{BASE}/organizations", {"organization": str(tenant.id)})
    client.post(f"{BASE}/people", {"act": "member", "email": SAM, "role": "admin"})
    client.post(f"{BASE}/people", {"act": "key", "name": "mine", "scope": "admin"})
    client.post(f"{BASE}/people", {"act": "out", "member": str(member.pk)})
    for form in ({"token": "mine"}, {"log_in": "1"}):
        page = client.post(f"{BASE}/connect/hubspot", form)
        assert page.status_code == 403
        assert "staff.by_grant" in page.content.decode()
    client.post(f"{BASE}/notices", {"act": "add", "url": "https://hooks.example.com/x", "kinds": ["brake.pulled"]})
    for method, path, body in (
        ("post", "/api/crm/members", {"email": SAM, "role": "admin"}),
        ("patch", f"/api/crm/members/{member.pk}", {"role": "admin"}),
        ("delete", f"/api/crm/members/{member.pk}", {}),
        ("post", "/api/crm/connect", {"crmType": "hubspot", "config": {"apiToken": "mine"}}),
        ("post", "/api/crm/connect", {"crmType": "hubspot"}),
        ("post", "/api/crm/api-keys", {"name": "mine", "scopes": ["admin"]}),
        ("post", "/api/crm/outgoing-webhooks", {"url": "https://hooks.example.com/x", "kinds": ["brake.pulled"]}),
    ):
        answer = getattr(client, method)(path, body, "application/json", headers={"X-Organization": str(tenant.id)})
        assert (answer.status_code, answer.json()["code"]) == (403, "staff.by_grant"), path
    with tenant.context():
        assert ApiKey.objects.count() == CrmOutgoingWebhook.objects.count() == 0
        assert {each.user.email: each.role for each in Membership.objects.select_related("user")} == {
            tenant.user.email: "owner",
            "ann@example.com": "viewer",
        }


@pytest.mark.parametrize(
    ("changed", "code", "field"),
    [
        ({"email": "owner@first.example"}, "staff.person", "email"),
        ({"email": "nobody@adsapp.example"}, "staff.person", "email"),
        ({"reason": "  "}, "staff.invalid", "reason"),
        ({"reason": "x" * 201}, "staff.invalid", "reason"),
        ({"hours": 0}, "staff.invalid", "hours"),
        ({"hours": 169}, "staff.invalid", "hours"),
        ({"role": "owner"}, "staff.invalid", "role"),
        ({"by_role": "viewer", "role": "operator"}, "staff.invalid", "role"),
    ],
)
def test_what_is_no_grant_is_refused_by_name(tenant, sam, changed, code, field):
    """Customers' people are not told apart from nobody; nothing is stored."""
    asked = {"email": SAM, "role": "viewer", "hours": 4, "reason": "ticket", "by": "user:x", **changed}
    with tenant.context(), pytest.raises(RefusedError) as refused:
        let_in(asked.pop("email"), asked.pop("role"), **asked)
    assert [(each.code, each.field) for each in refused.value.refusals] == [(code, field)]
    assert grants_of(tenant) == []


def test_the_command_gives_lists_and_ends_and_ending_twice_is_once(tenant, sam, capsys):
    """What a terminal of the installation did is named as that."""
    call_command("crm_staff_access", str(tenant.id), "--email", SAM, "--reason", "ticket 2", "--json")
    [told] = json.loads(capsys.readouterr().out)["open"]
    assert (told["email"], told["role"]) == (SAM, Role.VIEWER)
    call_command("crm_staff_access", str(tenant.id), "--end")
    assert "ended  sam@adsapp.example" in capsys.readouterr().out
    call_command("crm_staff_access", str(tenant.id), "--end")
    assert "no open grant" in capsys.readouterr().out
    [grant] = grants_of(tenant)
    with tenant.context():
        assert end_access(grant.pk).ended_at == grant.ended_at
    assert grant.granted_by == "command:crm_staff_access"
    with pytest.raises(CommandError) as refused:
        call_command("crm_staff_access", str(tenant.id), "--email", "no@one.example", "--reason", "x")
    assert refused.value.returncode == 2
