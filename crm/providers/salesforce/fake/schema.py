"""The org's objects and fields as they are now: standard ones, the admin's own, and who may see them.

Names are found whatever their case, as everywhere in Salesforce. A hidden field does not exist for the API user.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Final

from crm.providers.salesforce.fake import answers, countries
from crm.providers.salesforce.fake.answers import Json
from crm.providers.salesforce.fake.fields import Field, ObjectType
from crm.providers.salesforce.fake.persons import account_person_fields, contact_person_fields
from crm.providers.salesforce.fake.standard_objects import address_codes, label_of, standard_objects

ACCESS: Final = ("visible", "read_only", "hidden")
CUSTOM_TYPES: Final = {
    "string": 255,
    "textarea": 131_072,
    "email": 80,
    "phone": 40,
    "url": 255,
    "picklist": 255,
    "multipicklist": 4_099,
    "boolean": 0,
    "double": 0,
    "date": 0,
    "datetime": 0,
}
ADDRESSES: Final = {"Contact": ("Mailing", "Other"), "Lead": ("",), "Account": ("Billing", "Shipping")}
_CUSTOM_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,38}__c")


class Schema:
    """``changed_ms`` is what describe gives as ``Last-Modified``."""

    def __init__(self, now_ms: int) -> None:
        self.types = standard_objects()
        self.access: dict[str, str] = {}
        self.hidden_types: set[str] = set()
        self.has_state_country_picklists = False
        self.has_person_accounts = False
        self.changed_ms = now_ms
        self._by_lower: dict[str, dict[str, Field]] = {}

    # Finding -----------------------------------------------------------------------------------------------

    def find_type(self, name: str) -> ObjectType | None:
        for kind in self.types.values():
            if kind.name.lower() == name.lower():
                return None if kind.name in self.hidden_types else kind
        return None

    def type_of_id(self, record_id: str) -> ObjectType | None:
        for kind in self.types.values():
            if record_id.startswith(kind.prefix):
                return kind
        return None

    def any_field(self, kind: ObjectType, name: str) -> Field | None:
        """The field, hidden or not."""
        found = self._by_lower.get(kind.name)
        if found is None:
            found = self._by_lower[kind.name] = {each.name.lower(): each for each in kind.fields.values()}
        return found.get(name.lower())

    def field(self, kind: ObjectType, name: str) -> Field | None:
        """The field if the API user may see it."""
        found = self.any_field(kind, name)
        return None if found is None or self.is_hidden(kind, found) else found

    def relationship(self, kind: ObjectType, name: str) -> Field | None:
        """The reference field behind ``Account`` in ``Account.Name``."""
        for each in kind.fields.values():
            if each.relationship and each.relationship.lower() == name.lower() and not self.is_hidden(kind, each):
                return each
        return None

    def visible_fields(self, kind: ObjectType) -> list[Field]:
        return [each for each in kind.fields.values() if not self.is_hidden(kind, each)]

    def is_hidden(self, kind: ObjectType, field: Field) -> bool:
        return self.access.get(f"{kind.name}.{field.name}") == "hidden"

    def is_read_only(self, kind: ObjectType, field: Field) -> bool:
        return self.access.get(f"{kind.name}.{field.name}") == "read_only"

    # What the admin of the org does ------------------------------------------------------------------------

    def add_field(self, kind: ObjectType, field: Field) -> None:
        kind.fields[field.name] = field
        self._changed(kind)

    def remove_field(self, kind: ObjectType, name: str) -> Field:
        found = self.any_field(kind, name)
        if found is None:
            raise answers.bad_admin_input(f"name: {kind.name} has no field {name!r}")
        del kind.fields[found.name]
        self._changed(kind)
        return found

    def set_access(self, kind: ObjectType, name: str, access: str) -> None:
        """Field-level security of the API user: ``visible``, ``read_only`` or ``hidden``."""
        found = self.any_field(kind, name)
        if found is None:
            raise answers.bad_admin_input(f"name: {kind.name} has no field {name!r}")
        if access not in ACCESS:
            raise answers.bad_admin_input(f"access: {access!r} is none of {', '.join(ACCESS)}")
        if access == "visible":
            self.access.pop(f"{kind.name}.{found.name}", None)
        else:
            self.access[f"{kind.name}.{found.name}"] = access
        self._changed(kind)

    def set_state_country_picklists(self, *, enabled: bool) -> None:
        self.has_state_country_picklists = enabled
        for type_name, prefixes in ADDRESSES.items():
            kind = self.types[type_name]
            for prefix in prefixes:
                for each in address_codes(prefix, tuple(countries.COUNTRIES), countries.state_codes()):
                    if enabled:
                        kind.fields[each.name] = each
                    else:
                        kind.fields.pop(each.name, None)
            self._changed(kind)

    def set_person_accounts(self, *, enabled: bool) -> None:
        self.has_person_accounts = enabled
        for type_name, fields in (("Account", account_person_fields()), ("Contact", contact_person_fields())):
            kind = self.types[type_name]
            for each in fields:
                if enabled:
                    kind.fields[each.name] = each
                else:
                    kind.fields.pop(each.name, None)
            self._changed(kind)

    def saved(self) -> Json:
        return {
            "custom": {
                kind.name: [asdict(each) for each in kind.fields.values() if each.custom]
                for kind in self.types.values()
            },
            "options": {
                f"{kind.name}.{each.name}": [list(each.options), each.restricted]
                for kind in self.types.values()
                for each in kind.fields.values()
                if each.options and not each.custom
            },
            "access": self.access,
            "hidden_types": sorted(self.hidden_types),
            "state_country": self.has_state_country_picklists,
            "person_accounts": self.has_person_accounts,
        }

    def load(self, saved: Json) -> None:
        self.set_state_country_picklists(enabled=saved["state_country"])
        self.set_person_accounts(enabled=saved["person_accounts"])
        for type_name, items in saved["custom"].items():
            for item in items:
                lists = {"options": tuple(item["options"]), "reference_to": tuple(item["reference_to"])}
                self.add_field(self.types[type_name], Field(**{**item, **lists}))
        for path, (options, restricted) in saved["options"].items():
            type_name, _, name = path.partition(".")
            kind = self.types[type_name]
            if name in kind.fields:
                self.set_options(kind, name, tuple(options), restricted=restricted)
        self.access = saved["access"]
        self.hidden_types = set(saved["hidden_types"])

    def set_options(self, kind: ObjectType, name: str, options: tuple[str, ...], *, restricted: bool) -> None:
        values = asdict(kind.fields[name])
        lists = {"reference_to": tuple(values["reference_to"]), "options": options, "restricted": restricted}
        self.add_field(kind, Field(**{**values, **lists}))

    def _changed(self, kind: ObjectType) -> None:
        self._by_lower.pop(kind.name, None)


def custom_field(raw: Json) -> Field:
    """A field from the admin's description. Raises 400 naming the key and the rule."""
    allowed = {"name", "type", "label", "length", "externalId", "unique", "caseSensitive", "options", "restricted"}
    unknown = sorted(set(raw) - allowed - {"object", "required"})
    if unknown:
        raise answers.bad_admin_input(f"unknown key {unknown[0]!r}; known are {', '.join(sorted(allowed))}")
    name, kind = str(raw.get("name", "")), str(raw.get("type", "string"))
    if not _CUSTOM_NAME.fullmatch(name):
        raise answers.bad_admin_input("name: letters, digits and '_', ending in __c, such as ADSapp_Id__c")
    if kind not in CUSTOM_TYPES:
        raise answers.bad_admin_input(f"type: {kind!r} is none of {', '.join(CUSTOM_TYPES)}")
    length = int(raw.get("length") or (CUSTOM_TYPES[kind] if kind != "textarea" else 32_000))
    if CUSTOM_TYPES[kind] and not 1 <= length <= CUSTOM_TYPES[kind]:
        raise answers.bad_admin_input(f"length: from 1 to {CUSTOM_TYPES[kind]} for {kind}")
    is_external = bool(raw.get("externalId"))
    if is_external and kind not in ("string", "email", "double"):
        raise answers.bad_admin_input("externalId: only text, email and number fields can be external ids")
    is_long = kind == "textarea" and length > 255
    return Field(
        name,
        kind,
        str(raw.get("label") or label_of(name)),
        length,
        nillable=kind != "boolean" and not raw.get("required"),
        default=False if kind == "boolean" else None,
        options=tuple(str(each) for each in raw.get("options") or ()),
        restricted=bool(raw.get("restricted")),
        external_id=is_external,
        unique=bool(raw.get("unique")),
        case_sensitive=bool(raw.get("caseSensitive")),
        filterable=not is_long,
        sortable=not is_long and kind != "multipicklist",
        precision=18 if kind == "double" else 0,
        scale=2 if kind == "double" else 0,
    )
