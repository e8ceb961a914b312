"""What keys that can only read are not shown: a leaked reading key should not tell where somebody lives."""

from __future__ import annotations

from typing import Final

from crm.mapping.app_fields import CUSTOM_PREFIX

SENSITIVE: Final = frozenset({"notes", "birthday", "street", "postalCode", "whatsappNumber"})
"""Names of ADSapp's fields; every custom field besides, since nobody knows what it holds."""


def is_sensitive(app_field: str) -> bool:
    return app_field in SENSITIVE or app_field.startswith(CUSTOM_PREFIX)
