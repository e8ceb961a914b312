"""Two organizations in the dashboard and the admin: every page of the URL configuration, by every id it takes."""

from __future__ import annotations

import re
from unittest import mock

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from adsapp_crm.admin.base import OrganizationAdmin
from adsapp_crm.models import User
from tests.adsapp_crm.api_matrix import NOWHERE
from tests.adsapp_crm.page_matrix import MODELS, SAID, dashboard_pages

pytestmark = pytest.mark.django_db

CANARY = "Canary"
MESSAGE = re.compile(r'<div class="notice [^>]*>.*?</div>|\s+', re.DOTALL)
"""What the page before left to be told, and white space."""
ONE_FOR_ALL = {"log-in", "log-out", "organizations"}


@pytest.fixture
def staff(tenant, client):
    User.objects.filter(pk=tenant.user.pk).update(is_staff=True)
    client.force_login(tenant.user)
    client.raise_request_exception = False
    with mock.patch("celery.app.task.Task.delay"):
        yield client


@pytest.fixture
def theirs(other, fill):
    return {name: str(row.pk) for name, row in fill(other).items()}


@pytest.fixture
def mine(tenant, fill):
    return {name: str(row.pk) for name, row in fill(tenant).items()}


def told(answer):
    """Status and text without ids, times and tokens that change from page to page."""
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<id>", body.decode("utf-8", "replace"))
    return answer.status_code, re.sub(r'value="[A-Za-z0-9]{64}"', "<token>", text)


def test_the_others_rows_are_as_unknown_as_none_to_every_page(staff, mine, theirs):
    """404 by both methods, in the same words as for an id that is nowhere."""
    seen = 0
    for name, path, arguments in dashboard_pages():
        named = [each for each in arguments if each in MODELS]
        if not named:
            continue
        seen += 1
        foreign = path.format(**SAID, **{each: theirs[MODELS[each]] for each in named})
        absent = path.format(**SAID, **dict.fromkeys(named, str(NOWHERE)))
        for method in ("get", "post"):
            answers = [told(getattr(staff, method)(where)) for where in (foreign, absent)]
            bare = [(status, re.sub(MESSAGE, "", text)) for status, text in answers]
            assert bare[0] == bare[1], (method, name)
            assert answers[0][0] in {404, 405, 302}, (method, name, answers[0][0])
            assert CANARY not in answers[0][1], (method, name)
    assert seen >= 9


def test_every_page_shows_the_own_rows_only(staff, tenant, theirs):
    """The own organization is empty, the other one is not: no page shows any of it."""
    for name, path, arguments in dashboard_pages():
        if name in ONE_FOR_ALL or any(each in MODELS or each == "version" for each in arguments):
            continue
        answer = staff.get(path.format(**SAID))
        status, text = told(answer)
        assert status < 500, name
        if status == 200 and name != "error-codes":
            assert "no-store" in answer.get("Cache-Control", ""), name  # not for the next person at this browser
        assert CANARY not in text, name
        assert not any(pk in text for pk in theirs.values()), name


def test_no_admin_page_opens_anothers_row(staff, mine, theirs):
    """Neither its form nor its history, deletion or an action on it."""
    for model in admin.site._registry:
        if model._meta.app_label != "adsapp_crm" or model.__name__ not in theirs:
            continue
        base = f"admin:adsapp_crm_{model._meta.model_name}"
        for page in ("change", "history", "delete"):
            where = reverse(f"{base}_{page}", args=[theirs[model.__name__]])
            for method in ("get", "post"):
                status, text = told(getattr(staff, method)(where))
                assert status in {302, 403, 404, 405}, (where, status)
                assert CANARY not in text, where
        status, text = told(staff.get(reverse(f"{base}_changelist")))
        assert status == 200
        assert theirs[model.__name__] not in text


def test_who_has_no_place_opens_no_page(tenant, other, mine):
    """Nobody is sent to the log-in; a stranger finds nothing of the organization."""
    stranger = Client(raise_request_exception=False)
    stranger.force_login(other.user)
    for name, path, arguments in dashboard_pages():
        if name in ONE_FOR_ALL:
            continue
        where = path.format(**SAID, **{each: mine[MODELS[each]] for each in arguments if each in MODELS})
        assert Client().get(where).status_code in {302, 405}, name
        assert CANARY not in told(stranger.get(where))[1], name


@pytest.mark.parametrize("spelling", [str, str.upper])
def test_five_wrong_passwords_lock_the_name_at_that_address(tenant, spelling):
    """The right one opens nothing then, and at another address it still does; another spelling is no other name."""
    tenant.user.set_password("a long enough one")
    tenant.user.save()

    def enter(password, address, spelled=str):
        said = {"username": spelled(tenant.user.email), "password": password}
        return Client(raise_request_exception=False).post("/login", said, REMOTE_ADDR=address).status_code

    wrong = [enter("wrong", "127.8.8.8", spelling) for _ in range(5)]
    assert 302 not in wrong
    assert enter("a long enough one", "127.8.8.8") == 429
    assert enter("a long enough one", "127.8.8.9") == 302


def test_a_list_is_asked_by_its_filters_only(staff, mine):
    """Columns that no page shows cannot be read letter by letter, by whoever may open the list."""
    shown = {"id", "pk"}
    for model, page in admin.site._registry.items():
        if not isinstance(page, OrganizationAdmin):
            continue
        filters = {
            each if isinstance(each, str) else each[0] for each in page.list_filter if not isinstance(each, type)
        }
        for field in model._meta.concrete_fields:
            if field.name not in {*shown, *filters, *page.linked_by} and field.attname not in page.linked_by:
                assert not page.lookup_allowed(f"{field.name}__startswith", "a"), (model, field.name)
    where = {name: reverse(f"admin:adsapp_crm_{name}_changelist") for name in ("apikey", "idempotencykey", "contact")}
    for path in (
        f"{where['apikey']}?secret_hash__startswith=a",
        f"{where['idempotencykey']}?response__body__email__startswith=a",
        f"{where['contact']}?custom_fields__tier=gold",
    ):
        assert staff.get(path).status_code == 400, path
    lines, ledger = (reverse(f"admin:adsapp_crm_{name}_changelist") for name in ("crmplanline", "crmledgerentry"))
    assert staff.get(f"{lines}?plan__id__exact={mine['CrmPlan']}").status_code == 200
    assert staff.get(f"{ledger}?run_id={mine['CrmSyncLog']}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/dashboard/settings/crm/contacts?q=%00",
        "/dashboard/settings/crm/conflicts?field=%00",
        "/admin/adsapp_crm/crmplan/?status__exact=%00",
    ],
)
def test_text_that_no_column_holds_is_bad_input(staff, path):
    assert staff.get(path).status_code < 500
