"""How v1 shows a record: owners and organizations as objects, custom fields flat, flags instead of ``is_deleted``.

Page: https://pipedrive.readme.io/docs/pipedrive-api-v2-migration-guide (the left column of its tables)
"""

from __future__ import annotations

from typing import Any, Final

from crm.providers.pipedrive.fake import custom_values
from crm.providers.pipedrive.fake.answers import Json
from crm.providers.pipedrive.fake.entities import ACTIVITY, DEAL, NOTE, ORGANIZATION, PERSON
from crm.providers.pipedrive.fake.fields import ADDRESS_PARTS
from crm.providers.pipedrive.fake.stamps import parse_v2, v1_stamp
from crm.providers.pipedrive.fake.state import Record, State

_NO_ENTRY: Final[list[Json]] = [{"value": "", "primary": True}]
_COUNTERS: Final = (
    "open_deals_count",
    "related_open_deals_count",
    "closed_deals_count",
    "related_closed_deals_count",
    "won_deals_count",
    "lost_deals_count",
    "activities_count",
    "done_activities_count",
    "undone_activities_count",
    "files_count",
    "notes_count",
    "followers_count",
    "email_messages_count",
)


def v1_record(state: State, record: Record, user_id: int) -> Json:
    """The object of v1 as the given user sees it."""
    match record.entity.key:
        case "person":
            answer = _person(state, record)
        case "organization":
            answer = _organization(state, record)
        case "deal":
            answer = _deal(state, record)
        case "activity":
            answer = _activity(state, record)
        case _:
            return _note(state, record, user_id)
    if record.entity.has_custom_fields:
        for code, definition in state.fields.of(record.entity).custom().items():
            answer |= custom_values.v1_flat(definition, record.custom.get(code))
    return answer


def _common(state: State, record: Record) -> Json:
    return {
        "id": record.record_id,
        "company_id": state.company_id,
        "active_flag": not record.is_deleted,
        "add_time": v1_stamp(record.added_s),
        "update_time": v1_stamp(record.added_s if record.updated_s is None else record.updated_s),
        "delete_time": v1_stamp(record.deleted_s),
        "visible_to": str(record.values.get("visible_to")),
    }


def _person(state: State, record: Record) -> Json:
    values = record.values
    labels = values["label_ids"]
    answer = {
        **_common(state, record),
        "owner_id": user_object(state, values["owner_id"]),
        "org_id": organization_object(state, values["org_id"]),
        "name": values["name"],
        "first_name": values["first_name"],
        "last_name": values["last_name"],
        **dict.fromkeys(_COUNTERS, 0),
        "phone": _entries(values["phones"]),
        "email": _entries(values["emails"]),
        "first_char": values["name"][:1].lower(),
        "picture_id": None,
        "label": labels[0] if labels else None,
        "label_ids": labels,
        "next_activity_date": None,
        "last_activity_date": None,
        "org_name": _name_of(state, ORGANIZATION.key, values["org_id"]),
        "owner_name": state.users[values["owner_id"]]["name"],
        "cc_email": _cc_email(state),
    }
    if "job_title" in state.fields.of(PERSON).definitions:
        answer |= {"im": _entries(values.get("im") or []), "job_title": values.get("job_title")}
        answer |= {"birthday": values.get("birthday"), "notes": values.get("notes")}
        answer |= _address("postal_address", values.get("postal_address"))
    return answer


def _organization(state: State, record: Record) -> Json:
    values = record.values
    labels = values["label_ids"]
    return {
        **_common(state, record),
        "owner_id": user_object(state, values["owner_id"]),
        "name": values["name"],
        **dict.fromkeys(_COUNTERS, 0),
        "people_count": _people_count(state, record.record_id),
        "first_char": values["name"][:1].lower(),
        "country_code": None,
        "picture_id": None,
        "label": labels[0] if labels else None,
        "label_ids": labels,
        **_address("address", values["address"]),
        "owner_name": state.users[values["owner_id"]]["name"],
        "cc_email": _cc_email(state),
    }


def _deal(state: State, record: Record) -> Json:
    values = record.values
    return {
        **_common(state, record),
        "creator_user_id": user_object(state, values["owner_id"]),
        "user_id": user_object(state, values["owner_id"]),
        "person_id": person_object(state, values["person_id"]),
        "org_id": organization_object(state, values["org_id"]),
        **{name: values[name] for name in ("stage_id", "title", "value", "currency", "status", "probability")},
        **{name: values[name] for name in ("lost_reason", "pipeline_id", "expected_close_date", "is_archived")},
        **{name: _to_v1(values[name]) for name in ("close_time", "won_time", "lost_time", "stage_change_time")},
        "active": values["status"] == "open" and not record.is_deleted,
        "deleted": record.is_deleted,
        "label": ",".join(str(item) for item in values["label_ids"]) or None,
        "person_name": _name_of(state, PERSON.key, values["person_id"]),
        "org_name": _name_of(state, ORGANIZATION.key, values["org_id"]),
        "owner_name": state.users[values["owner_id"]]["name"],
        "cc_email": f"{state.company_domain}+deal{record.record_id}@pipedrivemail.com",
    }


def _activity(state: State, record: Record) -> Json:
    values = record.values
    names = ("subject", "type", "deal_id", "lead_id", "person_id", "org_id", "due_date", "note", "public_description")
    return {
        **_common(state, record),
        **{name: values[name] for name in names},
        "user_id": values["owner_id"],
        "assigned_to_user_id": values["owner_id"],
        "created_by_user_id": values["creator_user_id"],
        "done": values["done"],
        "busy_flag": values["busy"],
        "due_time": (values["due_time"] or "")[:5],
        "duration": (values["duration"] or "")[:5],
        "location": (values["location"] or {}).get("value"),
        "participants": [
            {"person_id": each["person_id"], "primary_flag": each["primary"]} for each in values["participants"]
        ],
        "marked_as_done_time": _to_v1(values["marked_as_done_time"]) or "",
        "person_name": _name_of(state, PERSON.key, values["person_id"]),
        "org_name": _name_of(state, ORGANIZATION.key, values["org_id"]),
        "deal_title": _name_of(state, DEAL.key, values["deal_id"]),
        "owner_name": state.users[values["owner_id"]]["name"],
    }


def _note(state: State, record: Record, user_id: int) -> Json:
    values = record.values
    writer = state.users[values["user_id"]]
    person, organization, deal = (
        _name_of(state, key, values[f"{short}_id"])
        for key, short in ((PERSON.key, "person"), (ORGANIZATION.key, "org"), (DEAL.key, "deal"))
    )
    return {
        "id": record.record_id,
        **{name: values[name] for name in ("user_id", "deal_id", "person_id", "org_id", "lead_id", "content")},
        "add_time": v1_stamp(record.added_s),
        "update_time": v1_stamp(record.updated_s),
        "active_flag": not record.is_deleted,
        **{name: values[name] for name in NOTE.defaults if name.startswith("pinned")},
        "last_update_user_id": values["last_update_user_id"],
        "organization": {"name": organization} if organization else None,
        "person": {"name": person} if person else None,
        "deal": {"title": deal} if deal else None,
        "lead": None,
        "user": {
            "email": writer["email"],
            "name": writer["name"],
            "icon_url": None,
            "is_you": writer["id"] == user_id,
        },
    }


# Objects that stand where v2 has an id ------------------------------------------------------------------


def user_object(state: State, user_id: int | None) -> Json | None:
    if user_id is None:
        return None
    user = state.users[user_id]
    shown = {"id": user_id, "name": user["name"], "email": user["email"], "has_pic": 0, "pic_hash": None}
    return {**shown, "active_flag": user["active"], "value": user_id}


def organization_object(state: State, org_id: int | None) -> Json | None:
    record = None if org_id is None else state.find(ORGANIZATION, org_id)
    if record is None:
        return None
    return {
        "name": record.values["name"],
        "people_count": _people_count(state, record.record_id),
        "owner_id": record.values["owner_id"],
        "address": (record.values["address"] or {}).get("value"),
        "active_flag": not record.is_deleted,
        "cc_email": _cc_email(state),
        "value": org_id,
    }


def person_object(state: State, person_id: int | None) -> Json | None:
    record = None if person_id is None else state.find(PERSON, person_id)
    if record is None:
        return None
    entries = {"email": _entries(record.values["emails"]), "phone": _entries(record.values["phones"])}
    shown = {"active_flag": not record.is_deleted, "name": record.values["name"], **entries}
    return {**shown, "owner_id": record.values["owner_id"], "value": person_id}


def related_objects(state: State, records: list[Record]) -> Json:
    """Users, organizations and persons that the records name, by id."""
    found: dict[str, Json] = {}
    for record in records:
        values = record.values
        for key, name, show in (
            ("user", "owner_id", user_object),
            ("organization", "org_id", organization_object),
            ("person", "person_id", person_object),
        ):
            shown = show(state, values.get(name))
            if shown is not None and (key != "person" or record.entity in (DEAL, ACTIVITY)):
                number = shown.pop("value")
                found.setdefault(key, {})[str(number)] = {"id": number, **shown}
    return found


def _entries(entries: list[Json]) -> list[Json]:
    if not entries:
        return [dict(entry) for entry in _NO_ENTRY]
    return [{"label": each["label"], "value": each["value"], "primary": each["primary"]} for each in entries]


def _address(name: str, address: Json | None) -> Json:
    held = address or {}
    return {
        name: held.get("value"),
        **{f"{name}_{part}": held.get(part) for part in ADDRESS_PARTS},
        f"{name}_formatted_address": held.get("value"),
    }


def _name_of(state: State, key: str, record_id: Any) -> str | None:
    record = state.tables[key].records.get(record_id) if record_id is not None else None
    return None if record is None else str(record.values[record.entity.name])


def _people_count(state: State, org_id: int) -> int:
    return sum(record.values["org_id"] == org_id for record in state.all_live(PERSON))


def _cc_email(state: State) -> str:
    return f"{state.company_domain}@pipedrivemail.com"


def _to_v1(text: str | None) -> str | None:
    return v1_stamp(parse_v2(text))
