"""Connections, mapping work, members, keys and webhooks over the API."""

from __future__ import annotations

import json
import uuid

import pytest
from django.test import Client

from adsapp_crm.models import (
    ApiKey,
    Contact,
    CrmConnection,
    CrmConnectionEvent,
    CrmFieldMapping,
    CrmSyncState,
    CrmWebhookEvent,
    Membership,
)
from adsapp_crm.services.api_keys import make_key, open_key
from adsapp_crm.services.connections import connect_with_token
from tests.adsapp_crm.hubspot_account import TOKEN, hubspot_account

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def row(tenant, fill):
    return fill(tenant)["CrmConnection"]


@pytest.fixture
def hubspot(settings):
    with hubspot_account() as account:
        settings.CRM_PROVIDERS = {"hubspot": {"api_base": account.url}}
        settings.CRM_EXTRA_HOSTS = ["127.0.0.1"]
        yield account


@pytest.fixture
def connection(tenant, hubspot):
    return str(connect_with_token(tenant.id, "hubspot", TOKEN, actor="user:test").connection_id)


def send(browser, method, path, body=None, **headers):
    return browser.generic(
        method, f"/api/crm/{path}", json.dumps(body or {}), content_type="application/json", headers=headers
    )


def get(browser, path):
    answer = browser.get(f"/api/crm/{path}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def problem(answer):
    assert answer["Content-Type"] == "application/problem+json", answer.content
    return answer.status_code, answer.json()["code"]


# Connections.


def test_rules_are_changed_one_by_one(browser, tenant, row):
    """What is left out stays; null removes a setting; nothing but rules can be set."""
    where = f"connections/{row.pk}"
    changed = send(browser, "PATCH", where, {"strategy": "crm_wins", "batchSize": 50, "maxShareDeleted": 0.5})
    again = send(browser, "PATCH", where, {"batchSize": None, "mode": "observe"})

    assert changed.json()["rules"] | {"strategy": "crm_wins", "batchSize": 50} == changed.json()["rules"]
    assert (
        again.json()["rules"] | {"strategy": "crm_wins", "batchSize": None, "mode": "observe"} == again.json()["rules"]
    )
    for body, pointer in (
        ({"maxShareDeleted": 2}, "/maxShareDeleted"),
        ({"status": "active"}, "/status"),
        ({"credentials": {}}, "/credentials"),
        ({"createType": "unicorns"}, "/createType"),
    ):
        refused = send(browser, "PATCH", where, body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, pointer)
    assert get(browser, where)["rules"] == again.json()["rules"]
    assert get(browser, "connections")["items"] == [get(browser, where)]


SALESFORCES_OWN = {
    "accounts": None,
    "duplicateAlerts": None,
    "noteKind": None,
    "requestsPerSecond": None,
    "apiVersion": None,
    "bulkReadsFrom": None,
    "bulkWritesFrom": None,
}


def test_the_crms_own_settings_are_listed_changed_and_given_back(browser, tenant, row, settings):
    """What is not set is the installation's; the description says what each is about and which values there are."""
    settings.CRM_PROVIDERS = {"salesforce": {"note_kind": "Note"}}
    with tenant.context():
        CrmConnection.objects.filter(pk=row.pk).update(crm_type="salesforce")
    where = f"connections/{row.pk}"
    read = get(browser, where)
    assert read["rules"]["crmSettings"] == SALESFORCES_OWN
    assert all(each["label"] and each["help"] and each["rule"] for each in read["crmSettings"])
    assert {each["name"]: each["inForce"] for each in read["crmSettings"]} == {
        "accounts": "create",
        "duplicateAlerts": "obey",
        "noteKind": "Note",
        "requestsPerSecond": "100",
        "apiVersion": "59.0",
        "bulkReadsFrom": "50000",
        "bulkWritesFrom": "2000",
    }
    changed = send(browser, "PATCH", where, {"crmSettings": {"accounts": "match", "requestsPerSecond": "5"}})
    assert changed.json()["rules"]["crmSettings"] == {**SALESFORCES_OWN, "accounts": "match", "requestsPerSecond": "5"}
    kept = send(browser, "PATCH", where, {"crmSettings": {"noteKind": "ContentNote"}, "batchSize": 50}).json()
    given_back = send(browser, "PATCH", where, {"crmSettings": {"accounts": None}}).json()
    assert kept["rules"]["crmSettings"]["accounts"] == "match"
    assert given_back["rules"]["crmSettings"] == {
        **SALESFORCES_OWN,
        "noteKind": "ContentNote",
        "requestsPerSecond": "5",
    }
    with tenant.context():
        told = [event.details["changed"] for event in CrmConnectionEvent.objects.filter(kind="settings").order_by("pk")]
    assert told[0] == {"accounts": [None, "match"], "requestsPerSecond": [None, "5"]}


@pytest.mark.parametrize(
    ("wanted", "code", "fix"),
    [
        ({"accounts": "guess"}, "config.invalid", "Use one of create, match."),
        ({"requestsPerSecond": "0"}, "config.invalid", "Give a whole number from 1 to 100."),
        ({"requestsPerSecond": "lots"}, "config.invalid", "Give a whole number from 1 to 100."),
        ({"apiVersion": "v59"}, "config.invalid", "Give a version such as 59.0, from 41.0 on."),
        ({"instanceUrl": "https://evil.example"}, "config.unsupported", "Use one of accounts, duplicateAlerts, "),
    ],
)
def test_a_value_that_a_setting_cannot_have_changes_nothing(browser, tenant, row, wanted, code, fix):
    """The refusal names the setting, the rule and what to give; the good ones beside it are not taken either."""
    with tenant.context():
        CrmConnection.objects.filter(pk=row.pk).update(crm_type="salesforce")
    where = f"connections/{row.pk}"
    refused = send(browser, "PATCH", where, {"mode": "observe", "crmSettings": {"noteKind": "Note", **wanted}})
    (error,) = refused.json()["errors"]
    (name,) = wanted
    assert (refused.status_code, error["code"], error["pointer"]) == (400, code, f"/crmSettings/{name}")
    assert error["fix"].startswith(fix)
    after = get(browser, where)["rules"]
    assert (after["mode"], after["crmSettings"]) == ("sync", SALESFORCES_OWN)


def test_a_connection_is_paused_and_resumed(browser, row):
    """A connection that needs a log-in is not resumed by a wish."""
    assert send(browser, "POST", f"connections/{row.pk}/pause").json()["status"] == "paused"
    assert send(browser, "POST", f"connections/{row.pk}/resume").json()["status"] == "active"
    assert problem(send(browser, "POST", f"connections/{uuid.uuid4()}/pause")) == (404, "connection.unknown")


def test_a_lost_log_in_is_told_with_its_fix(browser, tenant, row):
    with tenant.context():
        CrmConnection.objects.update(status="error", health="needs_reconnect", last_error_code="auth.expired")
    told = get(browser, f"connections/{row.pk}")
    assert (told["health"], told["problem"]["code"]) == ("needs_reconnect", "auth.expired")
    assert told["problem"]["fix"]
    assert problem(send(browser, "POST", f"connections/{row.pk}/resume")) == (409, "connection.paused")

    paused = send(browser, "POST", f"connections/{row.pk}/pause").json()
    assert (paused["status"], paused["health"], paused["problem"]["code"]) == (
        *("paused", "needs_reconnect", "auth.expired"),
    )
    assert problem(send(browser, "POST", f"connections/{row.pk}/resume")) == (409, "connection.paused")
    assert get(browser, f"connections/{row.pk}")["health"] == "needs_reconnect"


# Fields and mappings.


def test_the_crms_fields_are_described_and_asked_for_anew(browser, connection):
    """By record type, with what may be written and chosen."""
    (described,) = get(browser, f"connections/{connection}/fields?recordType=contacts")["items"]
    names = {each["name"]: each for each in described["definitions"]}
    assert names["email"]["label"]
    assert set(names["email"]) == {
        *("name", "label", "kind", "remoteType", "writable", "createable", "required", "unique", "custom", "multiple"),
        *("maxLength", "options"),
    }
    answer = send(browser, "POST", f"connections/{connection}/fields/refresh")
    assert answer.status_code == 200, answer.content
    again = answer.json()["items"]
    assert [each["recordType"] for each in again] == ["contacts"]
    # The marker field was made after the first description.
    assert {each["name"] for each in again[0]["definitions"]} == {*names, "adsapp_contact_id"}
    assert again[0]["fetchedAt"] > described["fetchedAt"]


def test_mappings_are_judged_without_being_saved(browser, tenant, connection):
    """Findings point into the body; nothing is stored."""
    rows = [
        {"recordType": "contacts", "adsappField": "firstName", "crmField": "firstname"},
        {"recordType": "contacts", "adsappField": "firstName", "crmField": "no_such_field"},
    ]
    found = send(browser, "POST", f"connections/{connection}/mapping-lint", {"mappings": rows}).json()["items"]
    assert {"/mappings/1/crmField", "/mappings/1/adsappField"} == {
        each["pointer"] for each in found if each["severity"] == "error"
    }
    with tenant.context():
        assert CrmConnection.objects.get().mapping_version == 1


def test_a_mapping_is_tried_on_real_contacts(browser, tenant, connection):
    """Up to three linked contacts, by id or those that say something."""
    with tenant.context():
        mapping = CrmFieldMapping.objects.get(adsapp_field="firstName")
        base = {str(mapping.pk): {"app": "Ann", "crm": "ann", "definition": "x"}}
        ids = []
        for number in range(4):
            contact = Contact.objects.create(first_name=f"ann {number}")
            ids.append(str(contact.pk))
            CrmSyncState.objects.create(
                connection_id=connection,
                contact=contact,
                crm_record_type="contacts",
                crm_record_id=str(number),
                base=base,
            )
    row = {"recordType": "contacts", "adsappField": "firstName", "crmField": "firstname"}
    where = f"connections/{connection}/mapping-preview"

    told = send(browser, "POST", where, {"mapping": row}).json()
    one = send(browser, "POST", where, {"mapping": row, "contactIds": ids[:1]}).json()

    assert (len(told["tried"]), told["pushes"], told["pulls"], told["findings"]) == (3, True, True, [])
    assert one["tried"] == [
        {
            "contactId": ids[0],
            "appValue": "ann 0",
            "crmValue": "ann",
            "sent": {"value": "ann 0", "trouble": ""},
            "taken": {"value": "ann", "trouble": ""},
        }
    ]
    assert problem(send(browser, "POST", where, {"mapping": row, "contactIds": [str(uuid.uuid4())]}))[0] == 404
    assert problem(send(browser, "POST", where, {"mapping": row, "contactIds": ids}))[0] == 400


def test_an_earlier_version_comes_back_and_a_stale_writer_is_stopped(browser, connection):
    """Each save is a version; If-Match names the one that was read."""
    read = browser.get("/api/crm/mapping?crm_type=hubspot")
    rows = read.json()["mappings"]
    body = {"crmType": "hubspot", "mappings": rows[:2]}
    first = send(browser, "PUT", "mapping", body, **{"If-Match": read["ETag"]})
    stale = send(browser, "PUT", "mapping", {"crmType": "hubspot", "mappings": []}, **{"If-Match": read["ETag"]})
    versions = f"connections/{connection}/mapping-versions"
    restored = send(browser, "POST", f"{versions}/1/restore")

    assert (read["ETag"], first["ETag"], restored["ETag"]) == ('"1"', '"2"', '"3"')
    assert problem(stale) == (412, "request.precondition")
    assert [each["version"] for each in get(browser, versions)["items"]] == [3, 2, 1]
    assert len(get(browser, f"{versions}/2")["mappings"]) == 2
    assert [each["adsappField"] for each in restored.json()["mappings"]] == [each["adsappField"] for each in rows]
    for version in ("9", "99999999999999999999"):
        assert problem(send(browser, "POST", f"{versions}/{version}/restore")) == (404, "mapping.version_unknown")


# Members.


def test_members_come_change_and_go(browser, tenant):
    """The role is theirs at once."""
    made = send(browser, "POST", "members", {"email": "Bea@example.com", "role": "viewer"})
    where = f"members/{made.json()['id']}"
    changed = send(browser, "PATCH", where, {"role": "operator"})

    assert (made.status_code, made.json()["email"], made.json()["role"]) == (201, "bea@example.com", "viewer")
    assert changed.json()["role"] == "operator"
    assert len(get(browser, "members")["items"]) == 2
    assert send(browser, "DELETE", where).json() == {"revokedKeys": [], "keptKeys": []}
    assert problem(send(browser, "DELETE", where)) == (404, "member.unknown")


def test_the_last_owner_stays(browser, tenant):
    """Neither another role nor leaving."""
    with tenant.context():
        where = f"members/{Membership.objects.get().pk}"
    assert problem(send(browser, "PATCH", where, {"role": "admin"})) == (409, "member.last_owner")
    assert problem(send(browser, "DELETE", where)) == (409, "member.last_owner")
    again = {"email": tenant.user.email, "role": "viewer"}
    assert problem(send(browser, "POST", "members", again)) == (409, "member.last_owner")
    assert get(browser, "me")["organization"]["role"] == "owner"


def test_an_administrator_makes_and_unmakes_no_owner(browser, tenant):
    """Nobody gives or takes what they do not have."""
    with tenant.context():
        second = Membership.objects.create(user=type(tenant.user).objects.create_user("c@example.com"), role="owner")
        Membership.objects.filter(user=tenant.user).update(role="admin")
    refusals = [
        send(browser, "POST", "members", {"email": "d@example.com", "role": "owner"}),
        send(browser, "PATCH", f"members/{second.pk}", {"role": "viewer"}),
        send(browser, "DELETE", f"members/{second.pk}"),
    ]
    assert {problem(answer) for answer in refusals} == {(403, "member.role")}
    with tenant.context():
        assert sorted(Membership.objects.values_list("role", flat=True)) == ["admin", "owner"]


def test_a_key_does_no_more_than_its_makers_role_allows_now(browser, tenant):
    """From the next request on, also by a key that was made with a key; with the role back the key does all it did."""
    ann = type(tenant.user).objects.create_user("ann@example.com")
    with tenant.context(actor=f"user:{tenant.user.pk}"):
        member = Membership.objects.create(user=ann, role="admin")
        first = make_key("First", ["admin"], actor=f"user:{ann.pk}")
        second = make_key("Second", ["admin"], actor=f"key:{first.row.pk}")
        narrow = make_key("Narrow", ["read"], actor=f"user:{ann.pk}")
    for role, allowed in (("admin", "admin"), ("viewer", "viewer"), ("operator", "operator"), ("owner", "admin")):
        with tenant.context():
            Membership.objects.filter(pk=member.pk).update(role=role)
        for key, expected in ((first, allowed), (second, allowed), (narrow, "viewer")):
            program = Client(headers={"Authorization": f"Bearer {key.text}"})
            assert get(program, "me")["organization"]["role"] == expected, (role, key.row.name)
        assert program_may_list_keys(first) is (allowed == "admin")


def program_may_list_keys(key):
    answer = Client(headers={"Authorization": f"Bearer {key.text}"}).get("/api/crm/api-keys")
    assert answer.status_code == 200 or answer.json()["code"] == "request.forbidden"
    return answer.status_code == 200


def test_who_is_taken_out_leaves_no_key_behind_unless_it_is_asked_for(browser, tenant):
    """Those revoked and those kept are named; another's key and one that was revoked before stay as they are.

    A key that was made with a key of theirs goes as well, even where that one is gone by now.
    """
    others = [type(tenant.user).objects.create_user(f"{name}@example.com") for name in ("ann", "ben")]
    keys = {}
    with tenant.context(actor=f"user:{tenant.user.pk}"):
        members = [Membership.objects.create(user=user, role="admin") for user in others]
        for user in [*others, tenant.user]:
            keys[user.pk] = make_key("Report", ["admin"], actor=f"user:{user.pk}")
        earlier = make_key("Old", ["read"], actor=f"user:{others[0].pk}").row
        second = make_key("Second", ["admin"], actor=f"key:{earlier.pk}").row
        third = make_key("Third", ["read"], actor=f"key:{second.pk}").row
        ApiKey.objects.filter(pk=earlier.pk).update(revoked_at="2026-01-01T00:00Z", revoked_by="user:x")
    ann, ben, own = (keys[user.pk] for user in [*others, tenant.user])

    said = send(browser, "DELETE", f"members/{members[0].pk}").json()
    gone = sorted(str(row.pk) for row in (ann.row, second, third))
    assert (sorted(each["id"] for each in said["revokedKeys"]), said["keptKeys"]) == (gone, [])
    said = send(browser, "DELETE", f"members/{members[1].pk}?revokeKeys=false").json()
    assert (said["revokedKeys"], [each["prefix"] for each in said["keptKeys"]]) == ([], [ben.row.prefix])
    assert problem(send(browser, "DELETE", f"members/{members[1].pk}?revokeKeys=perhaps")) == (400, "request.invalid")

    assert [open_key(key.text) is not None for key in (ann, ben, own)] == [False, True, True]
    by = {each["id"]: each["revokedBy"] for each in get(browser, "api-keys")["items"]}
    assert by == {
        **dict.fromkeys(gone, f"user:{tenant.user.pk}"),
        str(ben.row.pk): "",
        str(own.row.pk): "",
        str(earlier.pk): "user:x",
    }


# Webhooks.


def test_events_are_listed_and_read_again(browser, tenant, row):
    """A dry run only counts."""
    with tenant.context():
        CrmWebhookEvent.objects.update(
            status="failed", code="net.timeout", remote_id="1", processed_at="2026-01-01T00:00Z"
        )
        event = CrmWebhookEvent.objects.get()
    body = {"connectionId": str(row.pk), "since": "2020-01-01T00:00:00Z"}
    assert [each["id"] for each in get(browser, "webhook-events?status=failed")["items"]] == [str(event.pk)]
    assert send(browser, "POST", "webhook-events/replay", {**body, "dryRun": True}).json()["events"] == 1
    assert get(browser, f"webhook-events/{event.pk}")["status"] == "failed"
    assert send(browser, "POST", "webhook-events/replay", body).json() == {"events": 1, "byStatus": {"failed": 1}}
    assert get(browser, f"webhook-events/{event.pk}")["status"] == "received"
    (hook,) = get(browser, "webhook-subscriptions")["items"]
    assert "token" not in json.dumps(hook)


# Keys.


def test_a_key_is_shown_once_and_kept_as_a_hash(browser, tenant):
    """The list names its beginning only; revoked, it opens nothing."""
    made = send(
        browser, "POST", "api-keys", {"name": "Report", "scopes": ["read"], "expiresAt": "2999-01-01T00:00:00Z"}
    )
    secret = made.json()["secret"]
    with tenant.context():
        stored = ApiKey.objects.get()

    assert secret.startswith(f"{stored.prefix}_")
    assert secret not in json.dumps(get(browser, "api-keys"))
    assert secret.rpartition("_")[2] not in stored.secret_hash
    assert send(browser, "DELETE", f"api-keys/{stored.pk}").json()["revokedAt"]
    assert problem(browser.get("/api/crm/me", headers={"Authorization": f"Bearer {secret}"})) == (401, "key.refused")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": " ", "scopes": ["read"]}, (400, "request.invalid")),
        ({"name": "x", "scopes": []}, (400, "request.invalid")),
        ({"name": "x", "scopes": ["root"]}, (400, "request.invalid")),
        ({"name": "x", "scopes": ["read"], "expiresAt": "2020-01-01T00:00:00Z"}, (400, "key.invalid")),
        ({"name": "x", "scopes": ["read", "read"]}, (201, "")),
    ],
)
def test_keys_that_cannot_be_made(browser, tenant, body, expected):
    answer = send(browser, "POST", "api-keys", body)
    assert (answer.status_code, answer.json().get("code", "")) == expected
    with tenant.context():
        assert ApiKey.objects.count() == (expected[0] == 201)


def test_rules_that_changed_since_are_not_overwritten(browser, row):
    """The ETag is the rules': a run that moves the row leaves it alone, another rule does not."""
    where = f"/api/crm/connections/{row.pk}"
    read = browser.get(where)
    first = browser.patch(
        where, {"maxAttempts": 5}, content_type="application/json", headers={"If-Match": read["ETag"]}
    )
    late = browser.patch(where, {"maxAttempts": 7}, content_type="application/json", headers={"If-Match": read["ETag"]})
    after = browser.patch(
        where, {"maxAttempts": 7}, content_type="application/json", headers={"If-Match": first["ETag"]}
    )

    assert (first.status_code, late.status_code, after.status_code) == (200, 412, 200)
    assert late.json()["code"] == "request.precondition"
    assert len({read["ETag"], first["ETag"], after["ETag"]}) == 3
    assert browser.get(where)["ETag"] == after["ETag"]


# History and figures.


def test_what_happened_to_a_connection_is_listed_by_kind_and_page(browser, row):
    """Pausing and a changed rule, newest first, with who did it; another kind of word is refused."""
    send(browser, "POST", f"connections/{row.pk}/pause")
    send(browser, "PATCH", f"connections/{row.pk}", {"strategy": "manual"})
    where = f"connections/{row.pk}/history"
    first = get(browser, f"{where}?limit=1")
    (event,) = first["items"]
    assert (event["kind"], event["details"]["changed"]["strategy"][1]) == ("settings", "manual")
    assert event["actor"].startswith("user:")
    assert get(browser, f"{where}?limit=1&cursor={first['nextCursor']}")["items"][0]["kind"] == "paused"
    assert {each["kind"] for each in get(browser, f"{where}?kind=paused")["items"]} == {"paused"}
    assert browser.get(f"/api/crm/{where}?kind=unicorn").status_code == 400


def test_figures_are_counted_by_day_and_crm(browser, row):
    """One entry for each day of a span that there is."""
    found = get(browser, "figures?days=7")["items"]
    assert [each["crmType"] for each in found] == [row.crm_type]
    assert len(found[0]["days"]) == 7
    assert set(found[0]["days"][-1]) >= {"day", "runs", "written", "lagSeconds", "conflicts"}
    assert len(get(browser, "figures")["items"][0]["days"]) == 30
    assert browser.get("/api/crm/figures?days=365").status_code == 400
