"""What to call a contact in a line of text."""

from __future__ import annotations

from adsapp_crm.models import Contact


def name_of(contact: Contact) -> str:
    """The name, else address, number or company, else nothing."""
    full = f"{contact.first_name} {contact.last_name}".strip()
    return full or contact.email or contact.phone or contact.company
