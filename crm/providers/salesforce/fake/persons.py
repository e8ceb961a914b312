"""Person accounts: one Account row and one hidden Contact row that are one person.

Page: SOAP API Developer Guide, "Person Account Record Types"
"""

from __future__ import annotations

from typing import Final

from crm.providers.salesforce.fake.fields import Field

ON_CONTACT: Final = {
    "FirstName": "FirstName",
    "LastName": "LastName",
    "Salutation": "Salutation",
    "PersonEmail": "Email",
    "PersonMobilePhone": "MobilePhone",
    "PersonHomePhone": "HomePhone",
    "Phone": "Phone",
    "PersonTitle": "Title",
    "PersonBirthdate": "Birthdate",
    "PersonHasOptedOutOfEmail": "HasOptedOutOfEmail",
    "PersonMailingStreet": "MailingStreet",
    "PersonMailingCity": "MailingCity",
    "PersonMailingState": "MailingState",
    "PersonMailingPostalCode": "MailingPostalCode",
    "PersonMailingCountry": "MailingCountry",
}
"""The field of the account, and the field of its contact that shows the same."""


def account_person_fields() -> list[Field]:
    lengths = {
        "Email": 80,
        "Phone": 40,
        "Title": 128,
        "Street": 255,
        "City": 40,
        "State": 80,
        "Code": 20,
        "Country": 80,
    }
    found = []
    for name in ON_CONTACT:
        if name == "Phone":
            continue
        length = next((most for end, most in lengths.items() if name.endswith(end)), 0)
        kind = "string"
        if name.endswith("Email") and length and name != "PersonHasOptedOutOfEmail":
            kind = "email"
        elif name.endswith("Phone"):
            kind = "phone"
        elif name.endswith("Birthdate"):
            kind, length = "date", 0
        elif name == "PersonHasOptedOutOfEmail":
            kind, length = "boolean", 0
        elif name in ("FirstName", "LastName", "Salutation"):
            length = 80 if name == "LastName" else 40
        is_flag = kind == "boolean"
        found.append(Field(name, kind, name, length, nillable=not is_flag, default=False if is_flag else None))
    found += [
        Field("IsPersonAccount", "boolean", "", createable=False, updateable=False, nillable=False, default=False),
        Field(
            "PersonContactId",
            "reference",
            "",
            18,
            createable=False,
            updateable=False,
            reference_to=("Contact",),
            relationship="PersonContact",
        ),
    ]
    return found


def contact_person_fields() -> list[Field]:
    return [Field("IsPersonAccount", "boolean", "", createable=False, updateable=False, nillable=False, default=False)]
