"""What makes an installation unsafe is an error of `check`, with its own id; a sound one is silent."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.db import connection
from django.test import override_settings

SOUND = {
    "DEBUG": False,
    "FERNET_KEYS": ["k" * 32],
    "CRON_SECRETS": ["s" * 32],
    "CRM_PUBLIC_URL": "https://crm.example.com",
    "CRM_EXTRA_HOSTS": [],
    "CRM_PROVIDERS": {},
    "CRM_SINGLE_ORGANIZATION": "",
    "CELERY_BROKER_TRANSPORT_OPTIONS": {"visibility_timeout": 300},
    "CELERY_TASK_TIME_LIMIT": 120,
}


def ids(*, databases=None, deploy=True, **changed):
    with override_settings(**{**SOUND, **changed}):
        found = run_checks(
            include_deployment_checks=deploy, databases=databases, tags=["security", "database", "broker", "crm"]
        )
    return sorted(each.id for each in found if (each.id or "").startswith("crmsync."))


@pytest.fixture(autouse=True)
def _no_urls():
    """Other applications' security checks look at addresses; these tests are about settings."""
    with override_settings(ROOT_URLCONF=()):
        yield


def test_a_sound_installation_is_silent():
    assert ids() == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"FERNET_KEYS": []}, ["crmsync.E001"]),
        ({"FERNET_KEYS": [], "DEBUG": True}, []),
        ({"CRON_SECRETS": ["short"]}, ["crmsync.E002"]),
        ({"CRON_SECRETS": ["s" * 32, "s" * 31]}, ["crmsync.E002"]),
        ({"CRON_SECRETS": []}, ["crmsync.E003"]),
        ({"CELERY_BROKER_TRANSPORT_OPTIONS": {"visibility_timeout": 299}}, ["crmsync.E005"]),
        ({"CELERY_TASK_TIME_LIMIT": 300}, ["crmsync.E005"]),
        ({"CELERY_BROKER_TRANSPORT_OPTIONS": {}}, []),
        ({"CRM_PUBLIC_URL": "http://crm.example.com"}, ["crmsync.E006"]),
        ({"CRM_PUBLIC_URL": ""}, ["crmsync.E006"]),
        ({"CRM_PUBLIC_URL": "http://localhost:8000"}, []),
        ({"CRM_PROVIDERS": {"one": {"api_token": "t"}}}, ["crmsync.W007"]),
        ({"CRM_PROVIDERS": {"one": {"api_token": "t"}}, "CRM_SINGLE_ORGANIZATION": "1"}, []),
        ({"CRM_PROVIDERS": {"one": {"client_id": "c"}}}, []),
        ({"CRM_EXTRA_HOSTS": ["fake.example.net"]}, ["crmsync.W008"]),
        ({"CRM_PROVIDERS": {"salesforce": {"accounts": "guess"}}}, ["crmsync.E013"]),
        ({"CRM_PROVIDERS": {"hubspot": {"api_version": "v2"}, "salesforce": {"accounts": "match"}}}, ["crmsync.E013"]),
    ],
    ids=str,
)
def test_each_fault_has_its_id(changed, expected):
    assert ids(**changed) == expected


@pytest.mark.parametrize("setting", ["CRON_SECRETS", "CRM_PUBLIC_URL", "CRM_EXTRA_HOSTS"])
def test_what_only_production_needs_is_asked_of_deployments_only(setting):
    """A developer's machine runs without a cron secret, on plain HTTP, with stand-ins."""
    loose = {"CRON_SECRETS": [], "CRM_PUBLIC_URL": "http://crm.example.com", "CRM_EXTRA_HOSTS": ["x"]}
    assert len(ids(**{setting: loose[setting]})) == 1
    assert ids(deploy=False, **{setting: loose[setting]}) == []


def test_no_message_repeats_a_secret():
    with override_settings(**{**SOUND, "CRON_SECRETS": ["canary"], "CRM_PROVIDERS": {"one": {"api_token": "canary"}}}):
        found = run_checks(include_deployment_checks=True, tags=["security"])
    assert [each.id for each in found if "canary" in f"{each.msg} {each.hint}"] == []


@pytest.mark.django_db(transaction=True)
class TestDatabase:
    def test_the_applications_role_passes(self):
        """Tables and roles as migrations and docs/roles.sql make them."""
        assert ids(databases=["default"]) == []

    def test_the_owners_alias_is_not_judged(self):
        assert ids(databases=["owner"]) == []

    @pytest.mark.parametrize(("superuser", "bypasses"), [(True, False), (False, True), (True, True)])
    def test_a_role_that_policies_do_not_bind_is_refused(self, monkeypatch, superuser, bypasses):
        """As the server itself describes it."""
        usual = type(connection.cursor().cursor).fetchone

        def fetchone(self):
            row = usual(self)
            described = self.description and [column.name for column in self.description]
            return ("crm", superuser, bypasses) if described == ["rolname", "rolsuper", "rolbypassrls"] else row

        monkeypatch.setattr(type(connection.cursor().cursor), "fetchone", fetchone)
        assert ids(databases=["default"]) == ["crmsync.E004"]
