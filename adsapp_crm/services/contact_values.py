"""What a person or a program says of a contact, checked and put into the columns' terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from adsapp_crm.services.refusals import Refusal, RefusedError
from crm.mapping.app_fields import APP_FIELDS, AppField, app_field
from crm.mapping.kinds import MAX_VALUE_CHARACTERS, Kind
from crm.normalize import email_key, normalize_country, parse_date, sanitize_text

MAX_TAGS = 200
MAX_CUSTOM_FIELDS = 500

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}


@dataclass(slots=True)
class ContactValues:
    """Accepted values: columns, and custom fields by key (None removes one)."""

    columns: dict[str, Any] = field(default_factory=dict)
    custom: dict[str, Any] = field(default_factory=dict)


def read_contact_values(values: Mapping[str, Any]) -> ContactValues:
    """Check ``values``, keyed by ADSapp's field names; raises RefusedError that names every field that is wrong."""
    accepted, refused = ContactValues(), []
    for name, value in values.items():
        known = app_field(name)
        if known is None:
            refused.append(
                Refusal(
                    "contact.unknown_field",
                    "Contacts have no field of this name.",
                    name,
                    f"Use one of {', '.join(APP_FIELDS)}, or custom.<key>.",
                )
            )
            continue
        try:
            if known.custom:
                accepted.custom[known.attribute] = _custom(value)
            else:
                read: Callable[[Any, AppField], Any] = _READERS.get(known.kind, _text)
                accepted.columns[known.attribute] = read(value, known)
        except _UnfitError as error:
            refused.append(Refusal("contact.invalid", error.rule, name, error.fix))
    if len(accepted.custom) > MAX_CUSTOM_FIELDS:
        refused.append(
            Refusal(
                "contact.invalid", f"A contact has at most {MAX_CUSTOM_FIELDS} custom fields.", "", "Leave some out."
            )
        )
    if refused:
        raise RefusedError(refused)
    return accepted


class _UnfitError(ValueError):
    def __init__(self, rule: str, fix: str) -> None:
        super().__init__(rule)
        self.rule = rule
        self.fix = fix


def _text(value: Any, known: AppField) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _UnfitError("This field holds text.", "Give a string, or null to clear it.")
    text = sanitize_text(value)[0]
    if known.kind is not Kind.TEXT:
        text = text.strip()
    limit = known.max_length or MAX_VALUE_CHARACTERS
    if len(text) > limit:
        raise _UnfitError(f"This field holds at most {limit} characters.", "Shorten the value.")
    return text


def _email(value: Any, known: AppField) -> str:
    text = _text(value, known)
    if text and email_key(text) is None:
        raise _UnfitError("This field holds exactly one e-mail address.", "Give one such as ann@example.com.")
    return text


def _country(value: Any, known: AppField) -> str:
    return normalize_country(_text(value, known))


def _day(value: Any, _known: AppField) -> date | None:
    if value in (None, ""):
        return None
    day = value if isinstance(value, date) else parse_date(value) if isinstance(value, str) else None
    if day is None:
        raise _UnfitError("This field holds a date.", "Write it as YYYY-MM-DD.")
    return day


def _flag(value: Any, _known: AppField) -> bool:
    if isinstance(value, bool):
        return value
    word = _WORDS.get(value.strip().lower()) if isinstance(value, str) else None
    if word is None:
        raise _UnfitError("This field holds true or false.", "Write true or false.")
    return word


def _tags(value: Any, _known: AppField) -> list[str]:
    words = value.split(";") if isinstance(value, str) else value if value is not None else []
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise _UnfitError("This field holds a list of words.", 'Give a list of strings, or "one; two" in a CSV file.')
    clean = list(dict.fromkeys(filter(None, (sanitize_text(word)[0].strip() for word in words))))
    if len(clean) > MAX_TAGS or any(len(word) > 255 for word in clean):
        raise _UnfitError(f"At most {MAX_TAGS} tags of 255 characters each.", "Leave some out, or shorten them.")
    return clean


def _custom(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        # jsonb keeps any number; what JSON and the CRMs carry exactly is a double.
        if value != value or abs(value) > 2**53:  # noqa: PLR0124  NaN is the one value unlike itself
            raise _UnfitError("A number is at most 2^53, and not NaN.", "Give it as text.")
        return value
    words = list(value) if isinstance(value, list | tuple) else [value]
    if not all(isinstance(word, str) for word in words):
        raise _UnfitError(
            "A custom field holds text, a number, true or false, or a list of texts.", "Give one of them."
        )
    clean = [sanitize_text(word)[0] for word in words]
    if sum(map(len, clean)) > MAX_VALUE_CHARACTERS:
        raise _UnfitError(f"A custom field holds at most {MAX_VALUE_CHARACTERS} characters.", "Shorten the value.")
    return clean if isinstance(value, list | tuple) else clean[0]


_READERS: dict[Kind, Callable[[Any, AppField], Any]] = {
    Kind.EMAIL: _email,
    Kind.COUNTRY: _country,
    Kind.DATE: _day,
    Kind.BOOLEAN: _flag,
    Kind.TAGS: _tags,
}
