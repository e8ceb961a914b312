"""Real processes that end by SIGKILL while they renew a token or re-encrypt values: the next one goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.conf import settings as configured
from django.db.models.functions import Now

from adsapp_crm.models import CrmConnection
from adsapp_crm.models.choices import Health
from adsapp_crm.services.keys import count_by_key, rotate_values
from adsapp_crm.storage.tokens import ConnectionTokens
from crm.errors import AuthorizationExpiredError
from tests.adsapp_crm.test_tokens import connection as _connection
from tests.adsapp_crm.test_tokens import expire, refreshes, row
from tests.adsapp_crm.test_tokens import salesforce as _salesforce

pytestmark = pytest.mark.django_db(transaction=True)
connection, salesforce = _connection, _salesforce

BEGIN = """
import json, os, signal, sys
import django
django.setup()
from django.conf import settings
for name, value in json.loads(sys.argv[1]).items():
    setattr(settings, name, value)

def end(*_arguments, **_named):
    os.kill(os.getpid(), signal.SIGKILL)
"""
RENEW = """
from adsapp_crm.models import CrmConnection
from adsapp_crm.storage import tokens
from adsapp_crm.tenancy import organization_context
with organization_context(sys.argv[2]):
    found = CrmConnection.objects.defer(None).get()
setattr(tokens.ConnectionTokens, sys.argv[3], end)
tokens.ConnectionTokens(found).token()
"""
ROTATE = """
from adsapp_crm.services import keys
honest, batches = keys._rotate_rows, []

def rotate(*arguments):
    batches.append(honest(*arguments))
    if len(batches) == 2:
        end()
    return batches[-1]

keys._rotate_rows = rotate
keys.rotate_values(rows_a_batch=5)
"""


def killed(code, *arguments, **changed):
    """A process of its own on this test's database, which must end by SIGKILL."""
    database = configured.DATABASES["default"]
    given = urlsplit(os.environ["DATABASE_URL"])
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": given._replace(path=f"/{database['NAME']}").geturl(),
    }
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code, json.dumps(changed), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def lapse(tenant):
    """As if the claim's time had passed."""
    with tenant.context():
        CrmConnection.objects.update(refresh_claimed_until=Now() - timedelta(seconds=1))


@pytest.mark.parametrize(
    ("step", "asked"), [("_renew", 0), ("_store", 1)], ids=["before the CRM is asked", "with the answer in hand"]
)
def test_a_worker_killed_while_it_renews_leaves_a_claim_that_ends(
    tenant, salesforce, connection, settings, step, asked
):
    """Until then nobody asks the CRM twice. A rotating grant is lost only with an answer that nobody could store."""
    expire(tenant)
    changed = {"CRM_PROVIDERS": settings.CRM_PROVIDERS, "CRM_EXTRA_HOSTS": settings.CRM_EXTRA_HOSTS}
    killed(RENEW, tenant.id, step, **changed)
    after = row(tenant)
    assert refreshes(salesforce) == asked
    assert (after.health, after.token_version) == (connection.health, connection.token_version)
    assert after.refresh_claimed_until is not None
    lapse(tenant)
    if asked:
        with pytest.raises(AuthorizationExpiredError):
            ConnectionTokens(row(tenant)).token()
        assert row(tenant).health == Health.NEEDS_RECONNECT
    else:
        ConnectionTokens(row(tenant)).token()
        assert (refreshes(salesforce), row(tenant).health) == (1, connection.health)


def test_a_rotation_killed_in_the_middle_loses_no_value_and_is_ended_by_the_next(tenant, settings):
    """The first batch is committed, the second one changed and not: each value opens under one of the two keys."""
    old, new = "o" * 40, "n" * 40
    settings.FERNET_KEYS = [old]
    with tenant.context():
        for number in range(12):
            made = CrmConnection(crm_type="hubspot", remote_account_id=str(number), status="disconnected")
            made.seal_credentials({"token": f"token {number}"})
            made.save()
        tenant.organization.tombstone_key = {"key": "tombstone"}
        tenant.organization.save(update_fields=["tombstone_key"])
    settings.FERNET_KEYS = [new, old]
    killed(ROTATE, FERNET_KEYS=settings.FERNET_KEYS)
    found = count_by_key()
    assert (found.by_key, found.lost) == ({0: 5, 1: 8}, {})

    done = rotate_values(rows_a_batch=5)

    assert (done.rotated, done.current) == (8, 5)
    settings.FERNET_KEYS = [new]
    with tenant.context():
        opened = {each.open_credentials()["token"] for each in CrmConnection.objects.defer(None)}
        assert opened == {f"token {number}" for number in range(12)}
