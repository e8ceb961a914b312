"""People for the bench, by number: the same ones whoever asks, on either side."""

from __future__ import annotations

from typing import Any

TITLES = ("Engineer", "Buyer", "Owner", "Nurse", "Teacher", "Driver", "Analyst")


def person(number: int, *, refused: bool = False) -> dict[str, str]:
    """In ADSapp's field names; ``refused``: with an e-mail address that HubSpot and Salesforce do not take."""
    return {
        "firstName": f"First{number}",
        "lastName": f"Last{number}",
        "email": f"person{number}@bench.{'x' if refused else 'example'}",
        "phone": f"+3161{number:07d}",
        "jobTitle": TITLES[number % len(TITLES)],
    }


def remote_person(provider: str, number: int) -> dict[str, Any]:
    """As the CRM's API takes it."""
    given = person(number)
    match provider:
        case "hubspot":
            return {name.lower(): value for name, value in given.items()}
        case "salesforce":
            names = {"firstName": "FirstName", "lastName": "LastName", "email": "Email", "phone": "Phone"}
            return {**{wire: given[name] for name, wire in names.items()}, "Title": given["jobTitle"]}
        case _:
            entries = {
                name: [{"value": given[field], "label": "work", "primary": True}]
                for name, field in (("emails", "email"), ("phones", "phone"))
            }
            return {"name": f"{given['firstName']} {given['lastName']}", **entries}


def remote_people(provider: str, first: int, count: int) -> list[dict[str, Any]]:
    return [remote_person(provider, number) for number in range(first, first + count)]
