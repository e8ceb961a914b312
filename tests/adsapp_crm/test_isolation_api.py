"""Two organizations over HTTP: every route, method, nested id, filter and bulk, by each wall alone."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from unittest import mock

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client

from adsapp_crm import models as tables
from adsapp_crm.models import User
from adsapp_crm.models.base import OrganizationManager, OrganizationModel, OrganizationQuerySet
from adsapp_crm.models.contact import ContactManager, ContactQuerySet
from adsapp_crm.services.api_keys import make_key
from tests.adsapp_crm.api_matrix import MODEL_OF, NOWHERE, handlers_without_operation, routes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_queue")]

ROUTES = routes()
NAMING = [route for route in ROUTES if route.ids_named()]
METHODS = sorted({route.method for route in ROUTES})
PLAIN = [route for route in ROUTES if not route.ids_named()]
MODELS = [model for model in apps.get_app_config("adsapp_crm").get_models() if issubclass(model, OrganizationModel)]
NOWHERE_IDS = dict.fromkeys(MODEL_OF.values(), NOWHERE)
CANARY = "Canary"
LISTS_MANY = {"conflicts-resolve"}
"""Answers one by one, in a body of its own."""
FILTERS = {"runId"}
"""Of a run that was removed the ledger is still read: unknown ones find nothing."""


@pytest.fixture
def theirs(other, fill):
    return {name: row.pk for name, row in fill(other).items()}


@pytest.fixture
def mine(tenant, fill):
    return {name: row.pk for name, row in fill(tenant).items()}


@pytest.fixture
def browser(tenant):
    return logged_in(tenant.user)


def logged_in(user):
    client = Client()
    client.force_login(user)
    return client


def contents(organization):
    """Every row of an organization, as text."""
    found = {}
    with organization.context(), connection.cursor() as cursor:
        for model in MODELS:
            table = model._meta.db_table
            cursor.execute(f"SELECT t::text FROM {table} t WHERE organization_id = %s ORDER BY id", [organization.id])
            found[table] = cursor.fetchall()
    return found


def told(answer):
    """Status and body, without what was named and without times."""
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<id>", body.decode())
    return answer.status_code, answer.get("Content-Type", ""), text


def test_every_handler_is_described():
    """What a view answers stands in its operations; so it is in the schema and in this matrix."""
    assert handlers_without_operation() == []
    assert len(ROUTES) > 60
    assert {name for route in ROUTES for name in route.ids_named()} <= set(MODEL_OF)


def of(method, routes):
    """Each of them is a subtest in one pair of organizations: where nothing may change, no route needs a new one."""
    return [route for route in routes if route.method == method]


def check_foreign(route, browser, other, theirs):
    before = contents(other)
    foreign = route.send(browser, theirs)
    absent = route.send(browser, NOWHERE_IDS)

    assert told(foreign) == told(absent)
    if route.name in LISTS_MANY or route.ids_named() <= FILTERS:
        assert foreign.status_code == 200
    else:
        assert foreign.status_code == 404, (route.label, foreign.content)
        assert json.loads(foreign.content)["code"].endswith("unknown")
    assert CANARY not in told(foreign)[2]
    assert contents(other) == before


@pytest.mark.parametrize("method", METHODS)
def test_the_others_rows_are_as_unknown_as_none(method, subtests, browser, other, mine, theirs):
    """404 with the same body as for an id that is nowhere, and nothing changed there."""
    for route in of(method, NAMING):
        with subtests.test(route.label):
            check_foreign(route, browser, other, theirs)


@pytest.mark.parametrize(
    "route", [route for route in NAMING if len(route.ids_named()) > 1], ids=lambda route: route.label
)
def test_one_foreign_id_among_own_ones_is_enough(route, browser, tenant, other, mine, theirs):
    """Own rows on the path and another's in query or body, and the other way round."""
    for name in route.ids_named() - FILTERS:
        rows = dict(mine)
        rows[MODEL_OF[name]] = theirs[MODEL_OF[name]]
        before = contents(other)
        answer = route.send(browser, rows)
        assert answer.status_code in {404, 200} if route.method == "GET" else answer.status_code == 404, name
        assert str(theirs[MODEL_OF[name]]) not in told(answer)[2]
        if answer.status_code == 200:
            assert answer.json()["items"] == []
        assert contents(other) == before


@pytest.mark.parametrize("route", PLAIN, ids=lambda route: route.label)
def test_lists_exports_and_writes_stay_at_home(route, browser, tenant, other, theirs):
    """Without any id: only the own rows are told, and only they are changed."""
    before = contents(other)
    answer = route.send(browser, {})
    assert answer.status_code < 500, answer.content
    assert CANARY not in told(answer)[2]
    for pk in theirs.values():
        assert str(pk) not in (b"" if answer.streaming else answer.content).decode()
    assert contents(other) == before


@pytest.mark.parametrize("method", METHODS)
def test_who_has_no_place_gets_nothing(method, subtests, tenant, other, mine, theirs):
    """Nobody: 401. Our staff without leave: 400, as they chose no organization; naming one: 404."""
    before = contents(tenant)
    staff = logged_in(User.objects.create_user("staff@example.com", is_staff=True, is_superuser=True))
    stranger = logged_in(other.user)
    for route in of(method, ROUTES):
        with subtests.test(route.label):
            assert route.send(Client(), mine).status_code == 401
            assert route.send(staff, mine).status_code == 400
            for client in (staff, stranger):
                refused = route.send(client, mine, **{"X-Organization": str(tenant.id)})
                assert (refused.status_code, refused.json()["code"]) == (404, "organization.unknown")
            assert contents(tenant) == before


def test_a_key_opens_its_own_organization_only(tenant, other, mine, theirs):
    """Naming another one changes nothing; neither does a session that comes along."""
    with other.context():
        text = make_key("theirs", ["admin"], actor="user:test").text
    client = logged_in(tenant.user)
    for route in NAMING:
        if route.method != "GET" or not route.arguments:
            continue
        answer = route.send(client, mine, Authorization=f"Bearer {text}")
        assert answer.status_code == 404, route.label
    named = client.get("/api/crm/me", headers={"Authorization": f"Bearer {text}", "X-Organization": str(tenant.id)})
    assert (named.status_code, named.json()["code"]) == (404, "organization.unknown")


# Each wall alone.


@contextmanager
def managers_that_see_everything():
    """Row-level security without any help from the managers."""

    def everything(self):
        return OrganizationQuerySet(self.model, using=self._db)

    def contacts(self):
        return ContactQuerySet(self.model, using=self._db)

    with (
        mock.patch.object(OrganizationManager, "get_queryset", everything),
        mock.patch.object(ContactManager, "get_queryset", contacts),
    ):
        yield


@pytest.mark.parametrize("method", METHODS)
def test_the_database_alone_keeps_them_apart(method, subtests, browser, other, mine, theirs):
    """The managers filter nothing, and the other's rows are not there all the same."""
    for route in of(method, NAMING):
        with subtests.test(route.label), managers_that_see_everything():
            check_foreign(route, browser, other, theirs)


@pytest.fixture
def open_tables(owner_sql):
    """Row-level security switched off on every table."""
    names = [model._meta.db_table for model in MODELS]
    for name in names:
        owner_sql(f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY")
    yield
    for name in names:
        owner_sql(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")


@pytest.mark.parametrize("method", METHODS)
def test_the_managers_alone_keep_them_apart(method, subtests, browser, tenant, other, mine, theirs, open_tables):
    """The database shows everything, and the other's rows are not there all the same."""
    with tenant.context(), connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT organization_id) FROM contacts")
        assert cursor.fetchone() == (2,)
    for route in of(method, NAMING):
        with subtests.test(route.label):
            check_foreign(route, browser, other, theirs)


# Mass assignment.


WRITING = [route for route in ROUTES if route.operation.body is not None]


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "POST", "PUT"])
def test_no_body_takes_what_it_does_not_name(method, subtests, browser, tenant, other, mine):
    """Every column of every table, by both spellings, is refused beside a body that is right."""
    columns = {field.name for model in (*MODELS, User, tables.Organization) for field in model._meta.concrete_fields}
    names = columns | {re.sub(r"_(.)", lambda match: match.group(1).upper(), name) for name in columns}
    before = contents(tenant)
    for route in of(method, WRITING):
        with subtests.test(route.label):
            unknown = sorted(names - set(route.operation.body().fields))

            answer = route.send(browser, mine, more=dict.fromkeys(unknown, "x"))

            assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid")
            assert {error["pointer"] for error in answer.json()["errors"]} == {f"/{name}" for name in unknown}
            assert contents(tenant) == before
