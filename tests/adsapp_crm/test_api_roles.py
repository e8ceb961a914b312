"""Who may do what at the API: the table of roles in the documentation, keys and what each shows, our own staff."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from adsapp_crm.api.access import needed_role
from adsapp_crm.models import (
    ApiKey,
    CrmConflict,
    CrmLedgerEntry,
    CrmPlan,
    CrmPlanLine,
    Membership,
    StaffAccess,
    StaffAccessEvent,
    User,
)
from adsapp_crm.services.api_keys import ROLE_OF, Scope, make_key
from adsapp_crm.services.contacts import create_contact, update_contact
from tests.adsapp_crm.api_callers import CONTACTS, post, problem
from tests.adsapp_crm.api_matrix import MODEL_OF, NOWHERE, routes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_queue")]

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"
ROUTES = {route.label: route for route in routes()}
DOCUMENTED = {
    label: (role, scope)
    for label, role, scope in re.findall(
        r"^\| `([A-Z]+ [^`]+)` \| (\w+) \| (\w+) \|", DOCS.read_text("utf-8"), re.MULTILINE
    )
}
ROLES = ["viewer", "operator", "admin", "owner"]
NOWHERE_IDS = dict.fromkeys(MODEL_OF.values(), NOWHERE)


# Addresses.


@pytest.mark.parametrize("path", ["/api/crm/contact", "/api/crm/contacts/17", "/api/crm/contacts/", "/api/", "/api/x"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_an_address_that_is_none_is_told_like_any_error(client, path, method):
    """To everybody, by every method: nothing about who may what is to be learned there."""
    assert problem(getattr(client, method)(path)) == (404, "request.not_found")


# Roles.


def test_the_table_in_the_documentation_is_the_truth():
    """Each route with its least role and scope, and none besides."""
    assert DOCUMENTED.keys() == ROUTES.keys()
    for label, (role, scope) in DOCUMENTED.items():
        assert needed_role(ROUTES[label].view, ROUTES[label].method) == role
        assert ROLE_OF[Scope(scope)] == role


@pytest.mark.parametrize("label", sorted(DOCUMENTED))
def test_each_role_may_do_what_the_table_says(label, tenant, browser, key):
    """Below the least role 403, whoever asks; from it on something else."""
    route, (role, scope) = ROUTES[label], DOCUMENTED[label]
    member = User.objects.create_user("member@example.com")
    client = Client()
    client.force_login(member)
    for held in ROLES:
        with tenant.context():
            Membership.objects.update_or_create(user=member, defaults={"role": held})
        answer = route.send(client, NOWHERE_IDS)
        if ROLES.index(held) < ROLES.index(role):
            assert problem(answer) == (403, "request.forbidden"), held
        else:
            assert answer.status_code not in {401, 403, 500}, held
    scopes = [each.value for each in Scope]
    for held in scopes:
        answer = route.send(key(held), NOWHERE_IDS)
        if scopes.index(held) < scopes.index(scope):
            assert problem(answer) == (403, "request.forbidden"), held
        else:
            assert answer.status_code not in {401, 403, 500}, held


def test_remembering_an_answer_needs_an_administrator(tenant, fill, key):
    """It changes the mapping."""
    conflict = fill(tenant)["CrmConflict"]
    answer = post(key("write"), f"/api/crm/conflicts/{conflict.pk}/resolve", {"side": "app", "remember": True})
    assert problem(answer) == (403, "request.forbidden")
    with tenant.context():
        assert CrmConflict.objects.get().status == "open"


# Keys.


@pytest.mark.parametrize(
    "text", ["", "crm_live_", "crm_live_0123456789ab_" + "x" * 43, "crm_test_x", "\u00e9", "crm_live_" + "x" * 5000]
)
def test_a_wrong_key_opens_nothing(tenant, browser, text):
    """All are answered alike, a session beside it helps nothing."""
    answer = browser.get("/api/crm/me", headers={"Authorization": f"Bearer {text}"})
    assert problem(answer) == (401, "key.refused")
    assert answer["WWW-Authenticate"] == "Bearer"


def test_a_key_whose_time_is_over_opens_nothing(tenant, key):
    """By the database's clock."""
    client = key("read", expires_at=timezone.now() + timezone.timedelta(hours=1))
    assert client.get("/api/crm/me").status_code == 200
    with tenant.context():
        ApiKey.objects.update(expires_at="2020-01-01T00:00Z")
    assert problem(client.get("/api/crm/me")) == (401, "key.refused")


def test_the_right_prefix_with_another_secret_opens_nothing(tenant):
    with tenant.context():
        made = make_key("test", ["admin"], actor="user:test")
    wrong = f"{made.row.prefix}_{'A' * 43}"
    assert problem(Client().get("/api/crm/me", headers={"Authorization": f"Bearer {wrong}"})) == (401, "key.refused")
    assert made.text not in repr(made)


def test_a_key_acts_in_its_own_name(tenant, key):
    """History names the key and the way; the use is noted, once a minute."""
    client = key("write")
    made = post(client, CONTACTS, {"firstName": "Ann"}).json()
    with tenant.context():
        row = ApiKey.objects.get()
        used = row.last_used_at
    (change,) = client.get(f"{CONTACTS}/{made['id']}/history").json()["items"]
    assert (change["who"], change["origin"]) == (f"key:{row.pk}", "api")
    with tenant.context():
        assert used is not None
        assert ApiKey.objects.get().last_used_at == used
    assert client.get("/api/crm/me").json()["actor"] == f"key:{row.pk}"


def test_a_key_gives_no_more_than_it_has(tenant, key):
    assert problem(post(key("write"), "/api/crm/api-keys", {"name": "x", "scopes": ["read"]}))[0] == 403
    admin = key("admin")
    assert post(admin, "/api/crm/api-keys", {"name": "x", "scopes": ["admin"]}).status_code == 201
    owner = {"email": "new@example.com", "role": "owner"}
    assert problem(post(admin, "/api/crm/members", owner)) == (403, "member.role")


def test_a_reading_key_is_shown_nothing_sensitive(tenant, fill, key):
    """Wherever a value could stand; with write it is shown."""
    rows = fill(tenant)
    secret = "Hemlock"
    fields = ["notes", "street", "postalCode", "whatsappNumber", "custom.tier"]
    with tenant.context():
        contact = create_contact({"firstName": "Ann", **dict.fromkeys(fields, secret)})
        update_contact(contact.pk, {"birthday": "1980-02-03"}, version=None)
        effects = [
            {"app_field": name, "remote_field": name, "rule": "created", "before": None, "after": secret}
            for name in [*fields, "birthday"]
        ]
        CrmLedgerEntry.objects.create(connection=rows["CrmConnection"], contact=contact, kind="sync", effects=effects)
        plan = CrmPlan.objects.get()
        CrmPlanLine.objects.create(
            plan=plan,
            seq=2,
            stage=0,
            kind="sync",
            record_type="contact",
            contact_id=contact.pk,
            action={"effects": effects},
        )
        for number, name in enumerate(fields):
            CrmConflict.objects.create(
                connection=rows["CrmConnection"],
                contact=contact,
                kind="field",
                mapping_id=str(number),
                app_field=name,
                values={"app": secret, "crm": secret},
            )
    paths = [
        CONTACTS,
        f"{CONTACTS}/{contact.pk}",
        f"{CONTACTS}/{contact.pk}/history",
        f"{CONTACTS}/{contact.pk}/records",
        f"{CONTACTS}/export",
        "/api/crm/changes",
        f"/api/crm/plans/{plan.pk}/lines",
        "/api/crm/conflicts",
    ]
    reads, writes = key("read"), key("write")
    for path in paths:
        shown = {name: text(client.get(path)) for name, client in (("read", reads), ("write", writes))}
        assert secret not in shown["read"], path
        assert "1980-02-03" not in shown["read"], path
        if not path.endswith("records"):
            assert secret in shown["write"], path


def text(answer):
    assert answer.status_code == 200, answer.content
    return (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()


# Staff.


def test_what_our_staff_look_at_is_written_down(tenant):
    """Each request under a grant, without its query."""
    staff = User.objects.create_user("staff@example.com", is_staff=True)
    with tenant.context():
        StaffAccess.objects.create(user=staff, reason="ticket 7", expires_at="2999-01-01T00:00Z")
    client = Client()
    client.force_login(staff)
    named = {"X-Organization": str(tenant.id)}
    assert client.get(f"{CONTACTS}?search=canary", headers=named).status_code == 200
    assert problem(post(client, CONTACTS, {"firstName": "Ann"}, **named)) == (403, "request.forbidden")
    with tenant.context():
        assert list(StaffAccessEvent.objects.values_list("method", "path")) == [("GET", CONTACTS)]
