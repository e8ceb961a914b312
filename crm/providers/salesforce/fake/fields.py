"""What a field is, what an object is, and how both are described.

Page: REST API Developer Guide, "sObject Describe"; SOAP API Developer Guide, "DescribeSObjectResult"
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from crm.providers.salesforce.fake.answers import Json

TEXT_TYPES: Final = frozenset({"string", "textarea", "email", "phone", "url", "picklist", "multipicklist", "combobox"})
NUMBER_TYPES: Final = frozenset({"double", "currency", "percent", "int"})
_SOAP: Final = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "address": "urn:address",
}


@dataclass(frozen=True, slots=True)
class Field:
    """``derived`` fields are computed from others when a record is written or read. Lengths are in characters."""

    name: str
    type: str
    label: str = ""
    length: int = 0
    createable: bool = True
    updateable: bool = True
    nillable: bool = True
    default: Any = None
    options: tuple[str, ...] = ()
    restricted: bool = False
    reference_to: tuple[str, ...] = ()
    relationship: str | None = None
    filterable: bool = True
    sortable: bool = True
    external_id: bool = False
    unique: bool = False
    case_sensitive: bool = False
    id_lookup: bool = False
    compound: str | None = None
    precision: int = 0
    scale: int = 0
    derived: bool = False

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    @property
    def is_long_text(self) -> bool:
        return self.type == "textarea" and self.length > 255

    def shown_label(self) -> str:
        return self.label or self.name

    def described(self, *, read_only: bool = False) -> Json:
        picklist = [
            {"active": True, "defaultValue": option == self.default, "label": option, "validFor": None, "value": option}
            for option in self.options
        ]
        return {
            "aggregatable": self.filterable,
            "autoNumber": False,
            "byteLength": self.length * 3,
            "calculated": False,
            "caseSensitive": self.case_sensitive,
            "compoundFieldName": self.compound,
            "controllerName": _controller(self.name),
            "createable": self.createable and not read_only,
            "custom": self.custom,
            "defaultValue": self.default if self.type == "boolean" else None,
            "defaultedOnCreate": self.default is not None or self.name == "OwnerId",
            "dependentPicklist": _controller(self.name) is not None,
            "deprecatedAndHidden": False,
            "digits": self.precision if self.type == "int" else 0,
            "encrypted": False,
            "externalId": self.external_id,
            "filterable": self.filterable,
            "groupable": self.filterable and self.sortable and self.type not in NUMBER_TYPES | {"datetime"},
            "htmlFormatted": False,
            "idLookup": self.id_lookup or self.external_id or self.type == "id",
            "inlineHelpText": None,
            "label": self.shown_label(),
            "length": self.length,
            "name": self.name,
            "nameField": self.name in ("Name", "Subject")
            or (self.name == "Title" and self.type == "string" and not self.nillable),
            "namePointing": len(self.reference_to) > 1,
            "nillable": self.nillable,
            "permissionable": self.nillable and not self.derived and self.type != "id",
            "picklistValues": picklist,
            "polymorphicForeignKey": len(self.reference_to) > 1,
            "precision": self.precision,
            "referenceTo": list(self.reference_to),
            "relationshipName": self.relationship,
            "restrictedPicklist": self.restricted,
            "scale": self.scale,
            "soapType": _SOAP.get(self.type, "xsd:string"),
            "sortable": self.sortable,
            "type": self.type,
            "unique": self.unique,
            "updateable": self.updateable and not read_only,
        }


def _controller(name: str) -> str | None:
    return name.replace("StateCode", "CountryCode") if name.endswith("StateCode") else None


@dataclass(slots=True)
class ObjectType:
    """``fields`` by name in describe order. ``is_setup`` objects are read through the API only."""

    name: str
    prefix: str
    label: str
    plural: str
    fields: dict[str, Field] = field(default_factory=dict)
    is_setup: bool = False
    mergeable: bool = False
    has_master: bool = False
    undeletable: bool = True
    has_deleted_list: bool = True

    def described(self) -> Json:
        """The part that describe global shows too."""
        writable = not self.is_setup
        base = f"/services/data/{{version}}/sobjects/{self.name}"
        return {
            "activateable": False,
            "associateEntityType": None,
            "associateParentEntity": None,
            "createable": writable,
            "custom": self.name.endswith("__c"),
            "customSetting": False,
            "deepCloneable": False,
            "deletable": writable,
            "deprecatedAndHidden": False,
            "feedEnabled": writable,
            "hasSubtypes": False,
            "isInterface": False,
            "isSubtype": False,
            "keyPrefix": self.prefix,
            "label": self.label,
            "labelPlural": self.plural,
            "layoutable": writable,
            "mergeable": self.mergeable,
            "mruEnabled": writable,
            "name": self.name,
            "queryable": True,
            "replicateable": self.has_deleted_list,
            "retrieveable": True,
            "searchable": writable,
            "triggerable": writable,
            "undeletable": writable and self.undeletable,
            "updateable": writable,
            "urls": {
                "sobject": base,
                "describe": f"{base}/describe",
                "rowTemplate": f"{base}/{{ID}}",
            },
        }
