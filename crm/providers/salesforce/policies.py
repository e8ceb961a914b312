"""What an organization may decide about its own connection. Pure data."""

from __future__ import annotations

from typing import Final

from crm.providers.base import REQUESTS_PER_SECOND, Setting
from crm.providers.salesforce import endpoints

DETECT: Final = "detect"
NOTE: Final = "Note"
CONTENT_NOTE: Final = "ContentNote"
_MOST_RECORDS: Final = 100_000_000

SETTINGS: Final = (
    Setting(
        "accounts",
        "CRM_SALESFORCE_ACCOUNTS",
        "create",
        choices=("create", "match"),
        label="A company that no account is named after",
        help="create makes an account of that name; match never makes one and leaves the contact where it is.",
        of_connection=True,
    ),
    Setting(
        "duplicate_alerts",
        "CRM_SALESFORCE_DUPLICATE_ALERTS",
        "obey",
        choices=("obey", "ignore"),
        label="Duplicate rules that only warn",
        help="obey refuses the record and names the one found; ignore saves it. Rules that block always block.",
        of_connection=True,
    ),
    Setting(
        "note_kind",
        "CRM_SALESFORCE_NOTE_KIND",
        DETECT,
        choices=(DETECT, NOTE, CONTENT_NOTE),
        label="Kind of notes",
        help="detect takes ContentNote (the notes of Lightning) where the organization shows it, and Note elsewhere.",
        of_connection=True,
    ),
    Setting(
        REQUESTS_PER_SECOND,
        "CRM_SALESFORCE_REQUESTS_PER_SECOND",
        str(endpoints.REQUESTS_PER_SECOND),
        whole=(1, endpoints.REQUESTS_PER_SECOND),
        label="Requests in a second",
        help="Salesforce has no such limit: fewer leave more room for other integrations of the organization.",
        of_connection=True,
    ),
    Setting(
        "api_version",
        "CRM_SALESFORCE_API_VERSION",
        endpoints.DEFAULT_VERSION,
        shape=endpoints.VERSION_SHAPE,
        rule="Give a version such as 59.0, from 41.0 on.",
        label="API version",
        help="Raise it when Salesforce retires this one. Each version lives three years at least.",
        of_connection=True,
    ),
    Setting(
        "bulk_reads_from",
        "CRM_SALESFORCE_BULK_READS_FROM",
        str(endpoints.BULK_READS_FROM),
        whole=(0, _MOST_RECORDS),
        label="First read by a bulk job from",
        help="Records from which on the first complete read is one job of Bulk API 2.0; 0 never.",
        of_connection=True,
    ),
    Setting(
        "bulk_writes_from",
        "CRM_SALESFORCE_BULK_WRITES_FROM",
        str(endpoints.BULK_WRITES_FROM),
        whole=(0, _MOST_RECORDS),
        label="Writes by a bulk job from",
        help="Records of one page of writes from which on they are one job of Bulk API 2.0, once half of the day's "
        "requests is used; 0 never.",
        of_connection=True,
    ),
)
