"""Comparable forms of what people type: e-mail, phone, text, name, country, dates.

Pure and total: every function takes any text and never raises. The stored value stays as the
person wrote it; these forms are only compared, or used as match keys. All of them are idempotent
and give the same answer for NFC and NFD spellings of one text.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime
from functools import lru_cache

import idna
import phonenumbers

CACHED_VALUES = 16_384
"""Entries kept per memo, a few MB: twenty pages of 200 records with two such values on both sides."""

MAX_EMAIL_CHARACTERS = 254
"""RFC 5321 section 4.5.3.1.3: a path is at most 256 octets with its angle brackets."""

MAX_PHONE_CHARACTERS = 64
"""Longer text is not one phone number; parsing it would only cost time."""

_PHONE_WORDS = frozenset({"", "x", "ext", "extn", "extension", "tel", "telext"})
_EPOCH_DIGITS = range(9, 15)
"""Digits of a count of milliseconds between 1970-01-02 and the year 5138."""


def sanitize_text(value: str) -> tuple[str, bool]:
    """Replace NUL and lone surrogates, which PostgreSQL cannot store, by U+FFFD.

    Returns the text and whether it had to be changed.
    """
    if "\0" not in value and (value.isascii() or not _has_surrogate(value)):
        return value, False
    clean = "".join("\ufffd" if ch == "\0" or "\ud800" <= ch <= "\udfff" else ch for ch in value)
    return clean, True


def _has_surrogate(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def normalize_text(value: str) -> str:
    """NFC with runs of blanks, tabs and line breaks as one blank, none at the ends. Case and accents stay."""
    if value.isascii() and "\0" not in value:
        return " ".join(value.split())
    return " ".join(unicodedata.normalize("NFC", sanitize_text(value)[0]).split())


def normalize_name(value: str) -> str:
    """A person's or company's name. Case and accents count: they are part of how a name is written."""
    return normalize_text(value)


def normalize_email(value: str) -> str:
    """Trimmed and lower-cased, the domain in its IDNA form. No folding of dots or plus signs."""
    return _email(value) if len(value) <= MAX_EMAIL_CHARACTERS else _email.__wrapped__(value)


@lru_cache(maxsize=CACHED_VALUES)
def _email(value: str) -> str:
    text = normalize_text(value)
    if text.isascii():
        return text.lower()
    text = _lower(text)
    local, at, domain = text.rpartition("@")
    if at and not domain.isascii():
        domain = _idna_domain(domain)
    return f"{local}{at}{domain}"


def _lower(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())


def _idna_domain(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return domain


def email_key(value: str) -> str | None:
    """The match key of one e-mail address; None when the text is not exactly one address."""
    text = normalize_email(value)
    local, at, domain = text.rpartition("@")
    if not at or not local or len(text) > MAX_EMAIL_CHARACTERS or "@" in local:
        return None
    if any(ch in text for ch in ' ,;:<>()[]"\\\ufffd') or "." not in domain:
        return None
    if domain.startswith((".", "-")) or domain.endswith((".", "-")) or ".." in text:
        return None
    return text


def normalize_phone(value: str, region: str = "") -> str:
    """E.164 by the region's rules, ``;ext=`` and the extension behind it; else digits, else the text.

    ``region`` is an ISO 3166 country code; without it only numbers with ``+`` are understood. A text
    that holds more than one number, or words beside it, is compared as text, so that editing those is
    seen as an edit.
    """
    return _understood(value, region)[0]


def phone_key(value: str, region: str = "") -> str | None:
    """The match key of one phone number; None when the region's rules do not know it as a number."""
    text, understood = _understood(value, region)
    return text if understood else None


def _understood(value: str, region: str) -> tuple[str, bool]:
    """The form and whether it is a number. Long text is worked out again each time, so that the memo stays small."""
    return _phone(value, region) if len(value) <= MAX_PHONE_CHARACTERS else _phone.__wrapped__(value, region)


@lru_cache(maxsize=CACHED_VALUES)
def _phone(value: str, region: str) -> tuple[str, bool]:
    text = normalize_text(value)
    number = _e164(text, region)
    if number is not None:
        return number, True
    if any(ch.isalpha() or ch in ";,/#*" for ch in text):
        return text, False
    digits = "".join(str(unicodedata.digit(ch)) for ch in text if unicodedata.digit(ch, None) is not None)
    if not digits:
        return text, False
    collapsed = f"+{digits}" if text.startswith("+") else digits
    number = _e164(collapsed, region)
    return (number, True) if number is not None else (collapsed, False)


def _reads_as_itself(number: str) -> bool:
    """A leading zero may be a trunk prefix when the form is read again, and go: the form would change each time."""
    try:
        again = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.format_number(again, phonenumbers.PhoneNumberFormat.E164) == number


def _e164(text: str, region: str) -> str | None:
    if not 3 <= len(text) <= MAX_PHONE_CHARACTERS:
        return None
    if "".join(ch for ch in text if ch.isalpha()).lower() not in _PHONE_WORDS:
        return None
    try:
        parsed = phonenumbers.parse(text, region.upper() or None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    number = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    extension = parsed.extension or ""
    understood = len(number) - 1 + len(extension)
    # "00" or a trunk digit in brackets may go unread; a second number behind a slash may not.
    is_unread = sum(ch.isdigit() for ch in text) > understood + 3
    if is_unread or (parsed.italian_leading_zero and not _reads_as_itself(number)):
        return None
    return f"{number};ext={extension}" if extension else number


def normalize_country(value: str) -> str:
    """An ISO 3166 two-letter code in capitals where the text is one, else the text."""
    text = normalize_text(value)
    code = text.upper()
    return code if len(text) == 2 and code in phonenumbers.SUPPORTED_REGIONS else text


def parse_timestamp(value: str) -> datetime | None:
    """An aware UTC time from ISO 8601 or a count of milliseconds since 1970; None for other text.

    A time without an offset is UTC, as the CRMs' own are.
    """
    text = value.strip()
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit():
        if len(digits) not in _EPOCH_DIGITS:
            return None
        seconds, milliseconds = divmod(int(text), 1000)
        try:
            return datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)
        except (ValueError, OverflowError, OSError):
            return None
    if not _looks_dated(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def parse_date(value: str) -> date | None:
    """A date from ISO 8601, from a timestamp (its UTC day), or None for other text."""
    text = value.strip()
    if len(text) == 10 and _looks_dated(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            return None
    moment = parse_timestamp(text)
    return moment.date() if moment is not None else None


def _looks_dated(text: str) -> bool:
    """``YYYY-MM-DD`` and what may follow; the short ISO spellings would read "20200101" and "2020-W01" as dates."""
    return len(text) >= 10 and text.isascii() and text[4] == "-" and text[7] == "-" and text[:4].isdigit()
