"""What the planner expects of rows that it has not sampled."""

from __future__ import annotations

import json
import uuid

import pytest
from django.db import connection as database

from adsapp_crm.models import Contact, CrmConnection, CrmSyncState, Organization
from adsapp_crm.tenancy import organization_context

pytestmark = pytest.mark.django_db
ORGANIZATIONS, LINKS = 20, 8


def test_of_a_connection_without_statistics_as_many_rows_are_expected_as_others_have():
    """One row would make every index as good as any other, and the wrong one reads them all for each."""
    for number in range(ORGANIZATIONS):
        with organization_context(uuid.uuid4()) as organization_id:
            Organization.objects.create(pk=organization_id, name=f"Many {number}", region="NL")
            connection = CrmConnection.objects.create(crm_type="hubspot")
            contacts = Contact.objects.bulk_create([Contact(first_name="Ada") for _ in range(LINKS)])
            CrmSyncState.objects.bulk_create(
                [
                    CrmSyncState(
                        connection=connection, contact=contact, crm_record_type="contacts", crm_record_id=f"{place}"
                    )
                    for place, contact in enumerate(contacts)
                ]
            )
    with database.cursor() as cursor:
        cursor.execute(
            "SET LOCAL default_statistics_target = 5"
        )  # as little is known of each as of one among thousands
        cursor.execute("ANALYZE crm_sync_state")
    with organization_context(uuid.uuid4()) as unknown, database.cursor() as cursor:
        cursor.execute(
            "EXPLAIN (FORMAT JSON) SELECT FROM crm_sync_state"
            " WHERE organization_id = %s AND connection_id = %s AND crm_record_type = 'contacts'",
            [unknown, uuid.uuid4()],
        )
        ((text,),) = cursor.fetchall()
    (explained,) = json.loads(text) if isinstance(text, str) else text
    assert explained["Plan"]["Plan Rows"] >= LINKS // 2
