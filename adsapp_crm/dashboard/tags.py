"""Template filters: values of strangers made harmless and visible, times, numbers, state words with their sign."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django import template
from django.utils import formats, timezone
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from adsapp_crm.catalogue import Entry
from adsapp_crm.catalogue import explain as entry_of
from adsapp_crm.dashboard.wording import RULES, Said, health_said, record_said, run_said
from adsapp_crm.models.choices import ConflictStrategy, SyncDirection
from adsapp_crm.storage import codec
from crm.mapping.app_fields import name_of_attribute
from crm.model import UNKNOWN, Effect

register = template.Library()

MOST_CHARACTERS: Final = 2_000
_SHOWN: Final = ("app_field", "side", "before", "after", "overrules", "lost")
_HIDDEN: Final = frozenset("\u061c\u200b\u200e\u200f\u2060\ufeff\u00ad\u2028\u2029")
"""Characters that cannot be seen and change what is read. Joiners are left: scripts and emoji need them."""


@register.filter
def visible(value: Any) -> SafeString:
    """A contact's or CRM's value: escaped, isolated from the text round it, with what hides in it shown."""
    if value is UNKNOWN:
        return format_html('<span class="none">{}</span>', _("not readable"))
    if value is None or value == "" or value in ((), []):
        return format_html('<span class="none">{}</span>', _("blank"))
    if isinstance(value, bool):
        return format_html("<span>{}</span>", _("yes") if value else _("no"))
    if isinstance(value, list | tuple):
        return format_html_join(" ", '<span class="chip">{}</span>', ((_text(str(each)),) for each in value))
    return _text(str(value))


def _text(text: str) -> SafeString:
    shown = text[:MOST_CHARACTERS]
    pieces = format_html_join("", "{}", ((_character(each),) for each in shown)) if _odd(shown) else shown
    more = "…" if len(text) > MOST_CHARACTERS else ""
    return format_html("<bdi>{}{}</bdi>", pieces, more)


def _odd(text: str) -> bool:
    return any(_is_odd(each) for each in text)


def _is_odd(character: str) -> bool:
    if character in "\n\t":
        return False
    category = unicodedata.category(character)
    hidden_format = category == "Cf" and character not in "\u200c\u200d" and ord(character) < 0xE0000
    return category in ("Cc", "Cs", "Co", "Cn") or character in _HIDDEN or hidden_format


def _character(character: str) -> str | SafeString:
    if not _is_odd(character):
        return conditional_escape(character)
    code = f"U+{ord(character):04X}"
    name = unicodedata.name(character, _("control character"))
    return format_html('<span class="odd" title="{} {}">{}</span>', code, name, code)


@register.filter
def ago(moment: datetime | None) -> SafeString:
    """A time in relative words, with the absolute one at hand."""
    if moment is None:
        return format_html('<span class="none">{}</span>', _("never"))
    local = timezone.localtime(moment)
    absolute = f"{formats.date_format(local, 'j M Y, H:i:s')} {local.tzname()}"
    words = _relative(moment - timezone.now())
    return format_html(
        '<time datetime="{}" title="{}" tabindex="0">{}<span class="hidden"> ({})</span></time>',
        local.isoformat(timespec="seconds"),
        absolute,
        words,
        absolute,
    )


@register.filter
def moment(value: datetime | None) -> SafeString:
    """The absolute time, in the person's zone."""
    if value is None:
        return format_html('<span class="none">{}</span>', "–")
    local = timezone.localtime(value)
    text = f"{formats.date_format(local, 'j M Y, H:i')} {local.tzname()}"
    return format_html('<time datetime="{}">{}</time>', local.isoformat(timespec="seconds"), text)


def _relative(away: timedelta) -> str:
    future, seconds = away > timedelta(0), abs(away.total_seconds())
    if seconds < 45:
        return _("in a moment") if future else _("just now")
    minutes, hours, days = (max(1, round(seconds / size)) for size in (60, 3600, 86400))
    if seconds < 3600:
        span = ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}
    elif seconds < 86400:
        span = ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours}
    else:
        span = ngettext("%(n)d day", "%(n)d days", days) % {"n": days}
    return (_("in %s") if future else _("%s ago")) % span


@register.filter
def seconds_long(seconds: float | None) -> str:
    """A span in words: ``3 min 5 s``."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return _("%(h)d h %(m)d min") % {"h": hours, "m": minutes}
    return _("%(m)d min %(s)d s") % {"m": minutes, "s": left} if minutes else _("%(s)d s") % {"s": left}


@register.filter
def percent(share: float | None) -> int:
    """A share from 0 to 1 in whole hundredths."""
    return round(100 * (share or 0))


@register.filter
def grouped(number: int | None) -> str:
    return formats.number_format(number or 0, use_l10n=True, force_grouping=True)


def _badge(said: Said) -> SafeString:
    return format_html(
        '<span class="badge {}"><span aria-hidden="true">{}</span> {}</span>', said.tone, said.sign, said.word
    )


@register.filter
def health_badge(health: str) -> SafeString:
    return _badge(health_said(health))


@register.filter
def run_badge(run: Any) -> SafeString:
    return _badge(run_said(run))


@register.filter
def record_badge(state: str) -> SafeString:
    return _badge(record_said(state))


@register.filter
def explained(code: str) -> Entry:
    """The catalogue's entry of a code."""
    return entry_of(code)


@register.filter
def at(mapping: Mapping[str, Any] | None, key: Any) -> Any:
    """``mapping[key]``; None where it has no such key."""
    return (mapping or {}).get(key)


@register.filter
def field_named(labels: Mapping[str, str] | None, name: str) -> SafeString:
    """A CRM's field as the CRM's own pages name it, with its code where that is another word."""
    label = (labels or {}).get(name) or name
    if label == name:
        return format_html("<code>{}</code>", _text(name))
    return format_html('{} <code class="muted">{}</code>', _text(label), _text(name))


@register.filter
def app_field_named(attribute: str) -> str:
    """What a contact's attribute is called everywhere else: ``jobTitle`` for ``job_title``."""
    return name_of_attribute(attribute)


@register.filter
def direction_text(direction: str) -> str:
    return str(dict(SyncDirection.choices).get(direction, direction))


@register.filter
def strategy_text(strategy: str) -> str:
    return str(dict(ConflictStrategy.choices).get(strategy, strategy))


@register.filter
def rule_text(rule: str) -> str:
    """A rule of the ledger in a sentence; a word that nobody wrote one for stays as it is."""
    return str(RULES.get(str(rule), rule))


@register.filter
def origin_text(origin: str) -> str:
    """By which way a change came: ``pull:<connection id>`` is the sync."""
    word = origin.partition(":")[0]
    words = {
        "pull": _("from the CRM"),
        "user": _("by a person"),
        "import": _("imported"),
        "api": _("through the API"),
        "undo": _("by an undo"),
    }
    return words.get(word, word)


@register.filter
def joined(first: str, last: str) -> str:
    return f"{first} {last}".strip()


@register.filter
def effects_of(line: Any) -> list[dict[str, Any]]:
    """The field effects of a ledger row, a line of a contact's history or a plan's action, in one form."""
    found = getattr(line, "effects", None) or (getattr(line, "action", None) or {}).get("effects", ())
    return [_effect(each) for each in found]


def _effect(effect: Any) -> dict[str, Any]:
    if isinstance(effect, Effect):
        return {name: getattr(effect, name) for name in _SHOWN}
    read: dict[str, Any] = {name: codec.decode_value(effect.get(name)) for name in ("before", "after", "lost")}
    return {**{name: effect.get(name) for name in _SHOWN}, **read}
