"""A person's several e-mail addresses and phone numbers: which one a name means, and the list after a write. Pure.

https://pipedrive.readme.io/docs/pipedrive-api-v2-migration-guide (checked 2026-09): a sent list replaces the stored
one, one entry at most is primary, a label is free text.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from crm.model import UNKNOWN, Seen, Value
from crm.normalize import email_key, normalize_text, phone_key
from crm.providers.pipedrive.wire import WireEntry, WireRecord

_SPARE_LABELS: Final = ("work", "other", "home", "")


def find(held: Any, label: str) -> Seen:
    """The primary entry's value (``label`` "") or that of the first with the label; ``None`` when there is none."""
    if not isinstance(held, list):
        return None if held is None else UNKNOWN
    entry = _entry(_copied(held), label)
    return None if entry is None else entry["value"]


def texts(wire: WireRecord) -> list[str]:
    """All addresses, then all numbers, the primary ones first."""
    found: list[str] = []
    for name in ("emails", "phones"):
        held = _copied(wire.get(name))
        found += [each["value"] for each in sorted(held, key=lambda each: not each.get("primary"))]
    return found


def write(base: str, values: Mapping[str, Value], current: WireRecord, mapped: AbstractSet[str]) -> list[WireEntry]:
    """The list with the values of ``base`` and ``base.<label>`` put in; every other entry stays as it is.

    An entry that is the primary one and carries a label that is mapped too is split, so that a write of the one name
    does not change what the other shows.
    """
    held = _copied(current.get(f"{base}s"))
    names = {name for name in {*mapped, *values} if name.partition(".")[0] == base}
    labels = {name.partition(".")[2] for name in names} - {""}
    spare = next(label for label in _SPARE_LABELS if label not in labels)
    for name, value in values.items():
        its_base, _, label = name.partition(".")
        if its_base == base and label:
            _put_label(held, label, _text(value), spare if base in names else None)
    if base in values:
        _put_primary(base, held, _text(values[base]), labels, spare)
    if held and not any(each.get("primary") for each in held):
        held[0]["primary"] = True
    return held


def _put_label(held: list[WireEntry], label: str, text: str | None, keeps_as: str | None) -> None:
    """``keeps_as``: the label under which the primary entry stays, when it is mapped by itself."""
    entry = _entry(held, label)
    if entry is not None and entry["value"] == text:
        return
    if entry is not None and entry.get("primary") and keeps_as is not None:
        entry["label"] = keeps_as
        entry = None
    if text is None:
        if entry is not None:
            held.remove(entry)
    elif entry is not None:
        entry["value"] = text
    else:
        held.append({"value": text, "label": label, "primary": False})


def _put_primary(base: str, held: list[WireEntry], text: str | None, labels: AbstractSet[str], spare: str) -> None:
    entry = _entry(held, "")
    is_shared = entry is not None and entry.get("label", "").lower() in labels
    if text is None:
        if entry is not None and not is_shared:
            held.remove(entry)
        return
    known = next((each for each in held if _is_same(base, each["value"], text)), None)
    if known is None and entry is not None and not is_shared:
        entry["value"] = text
        known = entry
    elif known is None:
        known = {"value": text, "label": spare}
        held.append(known)
    for each in held:
        each["primary"] = each is known


def _entry(held: list[WireEntry], label: str) -> WireEntry | None:
    if label:
        return next((each for each in held if each.get("label", "").lower() == label), None)
    return next((each for each in held if each.get("primary")), held[0] if held else None)


def _copied(held: Any) -> list[WireEntry]:
    found: list[WireEntry] = []
    for each in held if isinstance(held, list) else ():
        if isinstance(each, dict) and isinstance(each.get("value"), str) and each["value"].strip():
            label = each.get("label")
            found.append(
                {
                    "value": each["value"],
                    "label": label if isinstance(label, str) else "",
                    "primary": each.get("primary") is True,
                }
            )
    return found


def _is_same(base: str, one: str, other: str) -> bool:
    key = email_key if base == "email" else phone_key
    return normalize_text(one) == normalize_text(other) or (key(one) is not None and key(one) == key(other))


def _text(value: Value) -> str | None:
    return None if value is None or not str(value).strip() else str(value)
