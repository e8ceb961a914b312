"""The standard objects and fields that the fake has, as a Developer Edition describes them.

Page: Object Reference for the Salesforce Platform (Contact, Lead, Account, Opportunity, Task, Note, ContentNote, ...)
"""

from __future__ import annotations

import re
from typing import Any, Final

from crm.providers.salesforce.fake.fields import Field, ObjectType

SALUTATIONS: Final = ("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "Mx.")
SOURCES: Final = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")
LEAD_STATUSES: Final = ("Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted")
STAGES: Final = {
    "Prospecting": 10,
    "Qualification": 10,
    "Needs Analysis": 20,
    "Value Proposition": 50,
    "Id. Decision Makers": 60,
    "Perception Analysis": 70,
    "Proposal/Price Quote": 75,
    "Negotiation/Review": 90,
    "Closed Won": 100,
    "Closed Lost": 0,
}
TASK_STATUSES: Final = ("Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred")
INDUSTRIES: Final = ("Agriculture", "Banking", "Consulting", "Education", "Healthcare", "Retail", "Technology", "Other")
ADDRESS_PARTS: Final = ("Street", "City", "State", "PostalCode", "Country")
_PART_LENGTHS: Final = {"Street": 255, "City": 40, "State": 80, "PostalCode": 20, "Country": 80}
_SPECIAL_LABELS: Final = {
    "OwnerId": "Owner ID",
    "Phone": "Phone",
    "MobilePhone": "Mobile Phone",
    "HasOptedOutOfEmail": "Email Opt Out",
    "HasOptedOutOfFax": "Fax Opt Out",
    "Birthdate": "Birthdate",
    "LeadSource": "Lead Source",
}


def label_of(name: str) -> str:
    """``MailingPostalCode`` as ``Mailing Postal Code``."""
    if name in _SPECIAL_LABELS:
        return _SPECIAL_LABELS[name]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.removesuffix("__c").replace("_", " "))
    return re.sub(r" Id$", " ID", words)


def _f(name: str, kind: str, length: int = 0, **more: Any) -> Field:
    return Field(name, kind, label_of(name), length, **more)


def _read(name: str, kind: str, length: int = 0, **more: Any) -> Field:
    return _f(name, kind, length, createable=False, updateable=False, **more)


def _bool(name: str, **more: Any) -> Field:
    return _f(name, "boolean", nillable=False, default=False, **more)


def _ref(name: str, *targets: str, **more: Any) -> Field:
    relationship = name.removesuffix("Id") if name != "ParentId" else "Parent"
    return _f(name, "reference", 18, reference_to=targets, relationship=relationship, **more)


def _pick(name: str, options: tuple[str, ...], length: int = 40, **more: Any) -> Field:
    return _f(name, "picklist", length, options=options, **more)


def _long(name: str = "Description") -> Field:
    return _f(name, "textarea", 32_000, filterable=False, sortable=False)


def _address(prefix: str) -> list[Field]:
    compound = f"{prefix}Address"
    parts = [
        _f(f"{prefix}{part}", "textarea" if part == "Street" else "string", length, compound=compound)
        for part, length in _PART_LENGTHS.items()
    ]
    numbers = [
        _f(f"{prefix}{part}", "double", precision=18, scale=15, compound=compound) for part in ("Latitude", "Longitude")
    ]
    return [*parts, *numbers, _read(compound, "address", sortable=False, filterable=False, derived=True)]


def address_codes(prefix: str, countries: tuple[str, ...], states: tuple[str, ...]) -> list[Field]:
    """The two fields that state and country picklists add to an address."""
    compound = f"{prefix}Address"
    return [
        _pick(f"{prefix}StateCode", states, 10, restricted=True, compound=compound),
        _pick(f"{prefix}CountryCode", countries, 10, restricted=True, compound=compound),
    ]


def system_fields(*, master: str = "", owner: tuple[str, ...] = ("User",)) -> list[Field]:
    found = [
        _read("Id", "id", 18, nillable=False),
        _read("IsDeleted", "boolean", nillable=False, default=False),
    ]
    if master:
        found.append(_read("MasterRecordId", "reference", 18, reference_to=(master,), relationship="MasterRecord"))
    if owner:
        found.append(_ref("OwnerId", *owner, nillable=False))
    return found


def audit_fields() -> list[Field]:
    user = {"nillable": False, "reference_to": ("User",)}
    return [
        _read("CreatedDate", "datetime", nillable=False),
        _read("CreatedById", "reference", 18, relationship="CreatedBy", **user),
        _read("LastModifiedDate", "datetime", nillable=False),
        _read("LastModifiedById", "reference", 18, relationship="LastModifiedBy", **user),
        _read("SystemModstamp", "datetime", nillable=False),
    ]


def _person_name() -> list[Field]:
    return [
        _f("LastName", "string", 80, nillable=False),
        _f("FirstName", "string", 40),
        _pick("Salutation", SALUTATIONS),
        _read("Name", "string", 121, nillable=False, derived=True),
    ]


def _phones(*names: str) -> list[Field]:
    return [_f(name, "phone", 40) for name in names]


def _bounces(**more: Any) -> list[Field]:
    return [_f("EmailBouncedReason", "string", 255, **more), _f("EmailBouncedDate", "datetime", **more)]


_CONSENT: Final = ("HasOptedOutOfEmail", "HasOptedOutOfFax", "DoNotCall")


def _contact() -> list[Field]:
    return [
        *system_fields(master="Contact"),
        _ref("AccountId", "Account"),
        *_person_name(),
        *_address("Other"),
        *_address("Mailing"),
        *_phones("Phone", "Fax", "MobilePhone", "HomePhone", "OtherPhone", "AssistantPhone"),
        _ref("ReportsToId", "Contact"),
        _f("Email", "email", 80, id_lookup=True),
        _f("Title", "string", 128),
        _f("Department", "string", 80),
        _f("AssistantName", "string", 40),
        _pick("LeadSource", SOURCES),
        _f("Birthdate", "date"),
        _long(),
        *(_bool(name) for name in _CONSENT),
        *audit_fields(),
        *_bounces(),
        _read("IsEmailBounced", "boolean", nillable=False, default=False, derived=True),
    ]


def _lead() -> list[Field]:
    return [
        *system_fields(master="Lead", owner=("Group", "User")),
        *_person_name(),
        _f("Title", "string", 128),
        _f("Company", "string", 255, nillable=False),
        *_address(""),
        *_phones("Phone", "MobilePhone", "Fax"),
        _f("Email", "email", 80, id_lookup=True),
        _f("Website", "url", 255),
        _long(),
        _pick("LeadSource", SOURCES),
        _pick("Status", LEAD_STATUSES, nillable=False, default=LEAD_STATUSES[0]),
        _pick("Industry", INDUSTRIES),
        _pick("Rating", ("Hot", "Warm", "Cold")),
        _f("AnnualRevenue", "currency", precision=18),
        _f("NumberOfEmployees", "int", precision=8),
        *(_bool(name) for name in _CONSENT),
        _f("IsConverted", "boolean", nillable=False, default=False, createable=False, updateable=False),
        _read("ConvertedDate", "date"),
        *(
            _read(f"Converted{name}Id", "reference", 18, reference_to=(name,), relationship=f"Converted{name}")
            for name in ("Account", "Contact", "Opportunity")
        ),
        _bool("IsUnreadByOwner"),
        *audit_fields(),
        *_bounces(createable=False),
    ]


def _account() -> list[Field]:
    return [
        *system_fields(master="Account"),
        _f("Name", "string", 255, nillable=False),
        _pick("Type", ("Prospect", "Customer - Direct", "Customer - Channel", "Other")),
        _ref("ParentId", "Account"),
        *_address("Billing"),
        *_address("Shipping"),
        *_phones("Phone", "Fax"),
        _f("AccountNumber", "string", 40),
        _f("Website", "url", 255),
        _pick("Industry", INDUSTRIES),
        _f("AnnualRevenue", "currency", precision=18),
        _f("NumberOfEmployees", "int", precision=8),
        _long(),
        *audit_fields(),
    ]


def _opportunity() -> list[Field]:
    return [
        *system_fields(),
        _ref("AccountId", "Account"),
        _f("Name", "string", 120, nillable=False),
        _long(),
        _pick("StageName", tuple(STAGES), 255, nillable=False),
        _f("Amount", "currency", precision=18, scale=2),
        _f("Probability", "percent", precision=3),
        _f("CloseDate", "date", nillable=False),
        _pick("Type", ("Existing Business", "New Business"), 255),
        _f("NextStep", "string", 255),
        _pick("LeadSource", SOURCES, 255),
        _read("IsClosed", "boolean", nillable=False, default=False, derived=True),
        _read("IsWon", "boolean", nillable=False, default=False, derived=True),
        _ref("ContactId", "Contact", updateable=False),
        *audit_fields(),
    ]


def _task() -> list[Field]:
    return [
        *system_fields(owner=("Group", "User")),
        _ref("WhoId", "Contact", "Lead"),
        _ref("WhatId", "Account", "Opportunity"),
        _f("Subject", "combobox", 255, options=("Call", "Send Letter", "Send Quote", "Other")),
        _f("ActivityDate", "date"),
        _pick("Status", TASK_STATUSES, nillable=False, default=TASK_STATUSES[0]),
        _pick("Priority", ("High", "Normal", "Low"), nillable=False, default="Normal"),
        _read("AccountId", "reference", 18, reference_to=("Account",), relationship="Account", derived=True),
        _long(),
        _f("CallDurationInSeconds", "int", precision=8),
        _pick("CallType", ("Internal", "Inbound", "Outbound")),
        _f("CallDisposition", "string", 255),
        _f("CallObject", "string", 255),
        _f("ReminderDateTime", "datetime"),
        _bool("IsReminderSet"),
        _pick("TaskSubtype", ("Task", "Email", "Call"), updateable=False, default="Task", restricted=True),
        _read("IsClosed", "boolean", nillable=False, default=False, derived=True),
        _read("IsHighPriority", "boolean", nillable=False, default=False, derived=True),
        _read("IsArchived", "boolean", nillable=False, default=False),
        *audit_fields(),
    ]


def _note() -> list[Field]:
    return [
        *system_fields(),
        _ref("ParentId", "Account", "Contact", "Lead", "Opportunity", nillable=False, updateable=False),
        _f("Title", "string", 80, nillable=False),
        _bool("IsPrivate"),
        _long("Body"),
        *audit_fields(),
    ]


def _content_note() -> list[Field]:
    return [
        *system_fields(),
        _f("Title", "string", 255, nillable=False),
        _f("Content", "base64", filterable=False, sortable=False),
        _read("TextPreview", "string", 255, derived=True),
        _read("FileType", "string", 20, default="SNOTE"),
        _read("FileExtension", "string", 40, default="snote"),
        _read("ContentSize", "int", derived=True),
        _pick("SharingPrivacy", ("N", "P"), nillable=False, default="N", restricted=True),
        *audit_fields(),
    ]


def _content_document_link() -> list[Field]:
    return [
        *system_fields(owner=()),
        _ref("LinkedEntityId", "Account", "Contact", "Lead", "Opportunity", "User", nillable=False, updateable=False),
        _ref("ContentDocumentId", "ContentNote", nillable=False, updateable=False),
        _pick("ShareType", ("V", "C", "I"), nillable=False, restricted=True, default="V"),
        _pick("Visibility", ("AllUsers", "InternalUsers", "SharedUsers"), restricted=True, default="AllUsers"),
        _read("SystemModstamp", "datetime", nillable=False),
    ]


def _contact_role() -> list[Field]:
    return [
        *system_fields(owner=()),
        _ref("OpportunityId", "Opportunity", nillable=False, updateable=False),
        _ref("ContactId", "Contact", nillable=False, updateable=False),
        _pick("Role", ("Business User", "Decision Maker", "Evaluator", "Other")),
        _bool("IsPrimary"),
        *audit_fields(),
    ]


def _user() -> list[Field]:
    return [
        _read("Id", "id", 18, nillable=False),
        _read("Username", "string", 80, nillable=False, id_lookup=True),
        _read("LastName", "string", 80, nillable=False),
        _read("FirstName", "string", 40),
        _read("Name", "string", 121, nillable=False),
        _read("Email", "email", 128, nillable=False, id_lookup=True),
        _read("IsActive", "boolean", nillable=False, default=True),
        _read("UserType", "picklist", 40, options=("Standard", "AutomatedProcess", "CloudIntegrationUser")),
        *audit_fields(),
    ]


def _setup(*fields: Field) -> list[Field]:
    return [_read("Id", "id", 18, nillable=False), *fields, *audit_fields()]


def standard_objects() -> dict[str, ObjectType]:
    found = [
        ObjectType("Account", "001", "Account", "Accounts", mergeable=True, has_master=True),
        ObjectType("Contact", "003", "Contact", "Contacts", mergeable=True, has_master=True),
        ObjectType("Lead", "00Q", "Lead", "Leads", mergeable=True, has_master=True),
        ObjectType("Opportunity", "006", "Opportunity", "Opportunities"),
        ObjectType("OpportunityContactRole", "00K", "Opportunity Contact Role", "Opportunity Contact Roles"),
        ObjectType("Task", "00T", "Task", "Tasks"),
        ObjectType("Note", "002", "Note", "Notes"),
        ObjectType("ContentNote", "069", "Note", "Notes", has_deleted_list=False),
        ObjectType("ContentDocumentLink", "06A", "Content Document Link", "Content Document Links", undeletable=False),
        ObjectType("User", "005", "User", "Users", is_setup=True),
        ObjectType("Group", "00G", "Group", "Groups", is_setup=True),
        ObjectType("Organization", "00D", "Organization", "Organizations", is_setup=True),
        ObjectType("LeadStatus", "01J", "Lead Status Value", "Lead Status Values", is_setup=True),
        ObjectType("OpportunityStage", "01J", "Opportunity Stage", "Opportunity Stages", is_setup=True),
    ]
    fields: dict[str, list[Field]] = {
        "Account": _account(),
        "Contact": _contact(),
        "Lead": _lead(),
        "Opportunity": _opportunity(),
        "OpportunityContactRole": _contact_role(),
        "Task": _task(),
        "Note": _note(),
        "ContentNote": _content_note(),
        "ContentDocumentLink": _content_document_link(),
        "User": _user(),
        "Group": _setup(
            _read("Name", "string", 40),
            _read("Type", "picklist", 40, options=("Queue", "Regular")),
        ),
        "Organization": _setup(
            _read("Name", "string", 80),
            _read("OrganizationType", "picklist", 40),
            _read("InstanceName", "string", 5),
            _read("IsSandbox", "boolean", nillable=False, default=False),
        ),
        "LeadStatus": _setup(
            _read("MasterLabel", "string", 255),
            _read("ApiName", "string", 255),
            _read("SortOrder", "int"),
            _read("IsDefault", "boolean", nillable=False, default=False),
            _read("IsConverted", "boolean", nillable=False, default=False),
        ),
        "OpportunityStage": _setup(
            _read("MasterLabel", "string", 255),
            _read("ApiName", "string", 255),
            _read("SortOrder", "int"),
            _read("DefaultProbability", "percent"),
            *(_read(name, "boolean", nillable=False, default=False) for name in ("IsActive", "IsClosed", "IsWon")),
        ),
    }
    for kind in found:
        kind.fields = {each.name: each for each in fields[kind.name]}
    return {kind.name: kind for kind in found}
