"""One transaction, one organization, never without: the context, and the middleware that opens it."""

from __future__ import annotations

import copy
import re
import uuid
from pathlib import Path

import pytest
from django.db import connection, connections, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import SimpleTemplateResponse
from django.test import Client, override_settings
from django.urls import path
from django.views import View

from adsapp_crm import middleware
from adsapp_crm.middleware import opens_own_transactions
from adsapp_crm.models import Contact, ContactChange, Membership, Organization, StaffAccess
from adsapp_crm.tenancy import (
    NoOrganizationError,
    OrganizationMismatchError,
    change_evidence,
    current_actor,
    current_organization,
    organization_context,
)

ROOT = Path(__file__).resolve().parents[2]


def settings_in_database(using="default"):
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('app.org', true), current_setting('app.actor', true),"
            " current_setting('app.origin', true), pg_backend_pid()"
        )
        return [value or "" for value in cursor.fetchone()]


def raw_count(table="contacts", using="default"):
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
class TestContext:
    def test_without_context_the_managers_refuse_and_the_database_shows_nothing(self, tenant):
        """Forgetting the context is an error in Python and nothing at all in SQL."""
        with tenant.context():
            Contact.objects.create(first_name="Ann")
        with pytest.raises(NoOrganizationError):
            Contact.objects.count()
        with pytest.raises(NoOrganizationError):
            Organization.objects.count()
        with pytest.raises(NoOrganizationError):
            Contact(first_name="Bea").save()
        with pytest.raises(NoOrganizationError):
            Contact.objects.bulk_create([Contact(first_name="Bea")])
        assert Contact.unscoped.count() == 0
        assert raw_count() == 0
        with tenant.context():
            assert raw_count() == 1

    def test_nothing_is_left_on_a_persistent_connection(self, tenant):
        """The next transaction on the same backend has no organization."""
        with tenant.context(actor="a", origin="b"):
            Contact.objects.create(first_name="Ann")
            inside = settings_in_database()
        after = settings_in_database()
        assert inside[:3] == [str(tenant.id), "a", "b"]
        assert after == ["", "", "", inside[3]]
        assert raw_count() == 0

    def test_nothing_is_left_on_a_pooled_connection(self, tenant):
        """Nor does Django's pool hand it on: same backend, another user, no organization."""
        usual = connections["default"]
        place = copy.deepcopy(usual.settings_dict)
        place["OPTIONS"] = {**place["OPTIONS"], "pool": {"min_size": 1, "max_size": 1}}
        place["CONN_MAX_AGE"] = 0
        pooled = connections["default"] = type(usual)(place, alias="default")
        try:
            with tenant.context():
                pid = settings_in_database()[3]
            pooled.close()
            assert settings_in_database() == ["", "", "", pid]
        finally:
            pooled.close()
            pooled.close_pool()
            connections["default"] = usual

    def test_an_outer_transaction_is_left_without_organization(self, tenant):
        """A released savepoint would keep the setting for the block round it."""
        with transaction.atomic():
            with tenant.context():
                Contact.objects.create(first_name="Ann")
            assert settings_in_database()[0] == ""
            assert raw_count() == 0

    def test_another_organization_inside_is_refused(self, tenant, other):
        """Neither wall is ever moved in the middle of a transaction."""
        with tenant.context():
            with pytest.raises(OrganizationMismatchError), other.context():
                pytest.fail("opened")
            assert settings_in_database()[0] == str(tenant.id)
            assert current_organization() == tenant.id

    def test_the_same_organization_inside_inherits_and_gives_back(self, tenant):
        """What the inner block does not say stays, and what it says ends with it."""
        with tenant.context(actor="user:1", origin="api"):
            with tenant.context(origin="import"):
                assert settings_in_database()[1:3] == ["user:1", "import"]
                assert current_actor() == "user:1"
            assert settings_in_database()[1:3] == ["user:1", "api"]

    def test_an_error_inside_undoes_the_inner_block_only(self, tenant):
        """The outer block goes on, in its own name."""
        with tenant.context(actor="outer"):
            Contact.objects.create(first_name="Ann")
            with pytest.raises(ZeroDivisionError), tenant.context(actor="inner"):
                [Contact.objects.create(first_name="Bea"), 1 / 0]
            assert settings_in_database()[1] == "outer"
            assert Contact.objects.count() == 1

    def test_a_row_of_another_organization_is_not_saved(self, tenant, other):
        """The managers compare before the database does."""
        with tenant.context():
            foreign = Contact(first_name="Ann", organization_id=other.id)
            with pytest.raises(OrganizationMismatchError):
                foreign.save()
            with pytest.raises(OrganizationMismatchError):
                Contact.objects.bulk_create([foreign])
            assert raw_count() == 0

    def test_evidence_needs_an_organization_and_ends_with_its_block(self, tenant):
        """Evidence of one write is not noted with the next."""
        with pytest.raises(NoOrganizationError), change_evidence({}):
            pytest.fail("opened")
        with tenant.context():
            contact = Contact.objects.create(first_name="Ann")
            with change_evidence({str(contact.pk): {"first_name": {"latest": "2026"}}}):
                Contact.objects.update(first_name="Bea")
            Contact.objects.update(first_name="Cis")
            noted = list(ContactChange.objects.order_by("version").values_list("evidence", flat=True))
        assert noted == [None, {"first_name": {"latest": "2026"}}, None]

    @pytest.mark.parametrize("text", ["", "not-a-uuid", "1"])
    def test_an_organization_that_is_no_uuid_is_refused(self, text):
        """Nothing reaches the database."""
        with pytest.raises(ValueError, match="UUID"), organization_context(text):
            pytest.fail("opened")


def test_no_source_sets_the_organization_for_a_session():
    """A session-wide setting would be carried into the next request by a pooled connection."""
    session_wide = re.compile(r"set_config\([^)]*,\s*false\)|\bSET\s+(SESSION\s+)?app\.", re.IGNORECASE)
    guilty = [
        str(file.relative_to(ROOT))
        for folder in ("adsapp_crm", "config", "crm")
        for file in (ROOT / folder).rglob("*.py")
        if session_wide.search(file.read_text(encoding="utf-8"))
    ]
    assert guilty == []
    assert session_wide.search("set_config('app.org', %s, false)")


# --- The middleware, in a small site of its own ----------------------------------------------------------------------


def names(_request):
    """A lazy answer: the names are read while it is rendered."""
    template = engines["django"].from_string("{% for each in contacts %}{{ each.first_name }},{% endfor %}")
    return SimpleTemplateResponse(template, {"contacts": Contact.objects.order_by("first_name")})


def write(request):
    Contact.objects.create(first_name="Written")
    if request.GET["status"] == "crash":
        raise ZeroDivisionError
    return HttpResponse(status=int(request.GET["status"]))


def stream(_request):
    return StreamingHttpResponse(each.first_name for each in Contact.objects.all())


@opens_own_transactions
def remote_call(request):
    assert not connection.in_atomic_block
    with pytest.raises(NoOrganizationError):
        Contact.objects.count()
    return HttpResponse(str(request.organization_id))


@opens_own_transactions
class RemoteCall(View):
    def get(self, request):
        return remote_call(request)


def where(request):
    return HttpResponse(f"{request.organization_id} {request.organization_role} {request.staff_access_id}")


def choose(request, organization_id):
    return HttpResponse(str(middleware.choose_organization(request, organization_id)))


urlpatterns = [
    path("names", names),
    path("write", write),
    path("stream", stream),
    path("remote", remote_call),
    path("remote-class", RemoteCall.as_view()),
    path("where", where),
    path("choose/<uuid:organization_id>", choose),
]


@pytest.fixture
def site():
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "adsapp_crm.middleware.OrganizationMiddleware",
        ],
    ):
        yield Client(raise_request_exception=False)


@pytest.fixture
def member(site, tenant):
    site.force_login(tenant.user, backend="django.contrib.auth.backends.ModelBackend")
    return site


def contacts_of(tenant):
    with tenant.context():
        return sorted(Contact.objects.values_list("first_name", flat=True))


@pytest.mark.django_db(transaction=True)
class TestMiddleware:
    def test_rendering_is_inside_the_transaction(self, member, tenant, other):
        """A lazy template sees the member's organization, all of it and nothing else."""
        for each, name in ((tenant, "Ann"), (tenant, "Bea"), (other, "Foreign")):
            with each.context():
                Contact.objects.create(first_name=name)
        assert member.get("/names").content == b"Ann,Bea,"
        assert settings_in_database()[0] == ""

    @pytest.mark.parametrize(
        ("status", "kept"), [("200", ["Written"]), ("302", ["Written"]), ("400", []), ("404", []), ("crash", [])]
    )
    def test_an_answer_of_400_or_above_undoes_what_was_written(self, member, tenant, status, kept):
        """By then Django has turned exceptions into answers."""
        answer = member.get("/write", {"status": status})
        assert answer.status_code == (500 if status == "crash" else int(status))
        assert contacts_of(tenant) == kept

    def test_history_names_the_person(self, member, tenant):
        """Whatever a view writes is noted with who was logged in."""
        member.get("/write", {"status": "200"})
        with tenant.context():
            change = ContactChange.objects.get()
        assert (change.who, change.origin) == (f"user:{tenant.user.pk}", "user")

    def test_a_stream_is_refused(self, member, tenant):
        """It would be read after the transaction has ended."""
        assert member.get("/stream").status_code == 500

    @pytest.mark.parametrize("address", ["/remote", "/remote-class"])
    def test_a_view_that_calls_a_crm_has_no_transaction_round_it(self, member, tenant, address):
        """It knows the organization and opens contexts itself."""
        answer = member.get(address)
        assert (answer.status_code, answer.content.decode()) == (200, str(tenant.id))

    def test_nobody_has_an_organization(self, site, tenant):
        """Without log-in there is none, and the header does not help."""
        assert site.get("/where", headers={"X-Organization": str(tenant.id)}).content == b"None  None"

    def test_the_only_membership_is_chosen_by_itself(self, member, tenant):
        assert member.get("/where").content.decode() == f"{tenant.id} owner None"

    def test_of_several_memberships_none_is_guessed(self, member, tenant, other):
        """Reading then fails loudly; the header or a choice in the session decides."""
        with other.context():
            Membership.objects.create(user=tenant.user, role="viewer")
        assert member.get("/where").content == b"None  None"
        assert member.get("/names").status_code == 500
        named = member.get("/where", headers={"X-Organization": str(other.id)})
        assert named.content.decode() == f"{other.id} viewer None"
        assert member.get(f"/choose/{tenant.id}").content == b"True"
        assert member.get("/where").content.decode() == f"{tenant.id} owner None"

    def test_a_foreign_organization_does_not_exist(self, member, tenant, other):
        """Somebody else's and nobody's get the same answer; a choice of it changes nothing."""
        answers = [
            member.get("/where", headers={"X-Organization": text})
            for text in (str(other.id), str(uuid.uuid4()), "nonsense")
        ]
        assert [answer.status_code for answer in answers] == [404, 404, 404]
        assert len({answer.content for answer in answers}) == 1
        assert answers[0].json()["code"] == "organization.unknown"
        assert answers[0]["Content-Type"] == "application/problem+json"
        assert member.get(f"/choose/{other.id}").content == b"False"
        assert member.get("/where").content.decode().startswith(str(tenant.id))

    def test_staff_enter_while_their_grant_lasts(self, member, tenant, other):
        """A grant is never chosen by itself, and ends with its time."""
        with other.context():
            access = StaffAccess.objects.create(user=tenant.user, reason="ticket", expires_at="2100-01-01T00:00Z")
        named = {"X-Organization": str(other.id)}
        assert member.get("/where").content.decode() == f"{tenant.id} owner None"
        assert member.get("/where", headers=named).content.decode() == f"{other.id} viewer {access.pk}"
        with other.context():
            StaffAccess.objects.update(expires_at="2000-01-01T00:00Z")
        assert member.get("/where", headers=named).status_code == 404
