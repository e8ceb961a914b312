"""Values that have broken programs: at least 400 texts, made here, so that what a viewer cannot show is spelled out."""

# ruff: noqa: E501, PLE2502  a list of values reads best by kind, and some of them are meant to deceive
from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

MEBIBYTE: Final = 1024 * 1024

_EMPTY = [
    "",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\v\f",
    "\u00a0",
    "\u200b",
    "\u2028",
    "\u2029",
    "\u3000",
    "\ufeff",
    "\u180e",
    "\u2060",
]
_WORDS = [
    *("null", "NULL", "None", "nil", "undefined", "undef", "true", "false", "TRUE", "yes", "no", "NaN", "nan"),
    *("Infinity", "-Infinity", "inf", "erased", "(null)", "#N/A", "#REF!", "__proto__", "constructor", "hasOwnProperty"),
    *("undefined.undefined", "[object Object]", "{}", "[]", '""', "''", "0", "-0", "00", "+0"),
]  # fmt: skip
_NUMBERS = [
    *("1e400", "-1e400", "1e-400", "1E309", "9007199254740993", "-9007199254740993", "18446744073709551616"),
    *("0x7fffffff", "0b1", "0o17", "1_000", "1,000.00", "1.000,00", "٣٤٥", "१२३", "½", "²", "Ⅷ", "1/0", "--1", "+-1"),
    *("." * 3, "1.2.3", "9" * 400, "0." + "0" * 400 + "1", "1e1000000000"),
]  # fmt: skip
_DATES = [
    *("0001-01-01", "9999-12-31", "0000-00-00", "10000-01-01", "-0001-01-01", "2024-02-30", "2023-02-29", "24:00:00"),
    *("2024-02-29T23:59:60Z", "1970-01-01T00:00:00+99:99", "2024-13-01", "99999999999999", "1e15", "2024-W53-7"),
    *("01/02/03", "31.12.1999", "２０２４-０１-０１", "2024-01-01T00:00:00.000000000000001Z", "now", "tomorrow"),
]  # fmt: skip
_EMAILS = [
    *("@", "a@", "@b", "a@b", "a@b.c", "a@@b.c", "a b@c.d", '"a b"@c.d', "a@[127.0.0.1]", "a@-b.c", "a@b..c", ".a@b.c"),
    *("a.@b.c", "a@b.c.", "a@xn--", "a@xn--0.example", "ä@ö.example", "аnn@example.com", "ann@exаmple.com", "a@b.c,d@e.f"),
    *("a@b.c;d@e.f", "<a@b.c>", "A <a@b.c>", "mailto:a@b.c", "a+b@c.d", "A@B.C", "a@b.c\n", "a@b.c\0", "a%00@b.c"),
    *("ı@example.com", "İ@example.com", "ß@example.com", "ﬁ@example.com", "k@example.com", "\u202ea@b.c"),
    *("a" * 65 + "@example.com", "a@" + "b" * 64 + ".com", "a@" + ".".join(["b" * 60] * 6), "ann@例え.テスト"),
    ", ".join(f"person{number}@example.com" for number in range(50)),
]  # fmt: skip
_PHONES = [
    *("+", "++31612345678", "0031612345678", "+31 (0) 6 12345678", "tel:+31612345678", "+31612345678;ext=12", "112"),
    *("+31612345678 x9", "+999999999999999", "+1" * 50, "٠٦١٢٣٤٥٦٧٨", "０６１２３４５６７８", "1-800-FLOWERS", "0" * 300),
]  # fmt: skip
_HOSTILE = [
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "<svg/onload=alert(1)>"),
    *("{{7*7}}", "{% debug %}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "%s%s%s%n", "%d", "{0.__class__}", "{name!r}", "$(id)"),
    *("`id`", "; rm -rf /", "| cat /etc/passwd", "&& id", "../../../../etc/passwd", "..\\..\\boot.ini", "file:///etc/passwd"),
    *("' OR 1=1 --", "'; DROP TABLE contacts; --", '" OR ""="', "1; SELECT pg_sleep(5)", "\\'; --", "%' ESCAPE '!", "_%"),
    *("Name = 'x' OR Name LIKE '%'", "\\' OR Id != null", "O'Brien", "O''Brien", "O\\'Brien", "back\\slash", "\\\\", "\\"),
    *("=SUM(A1:A9)", "+1+1", "-1+1", "@SUM(1)", "=cmd|' /C calc'!A0", "\t=1+1", "\r=1+1", '=HYPERLINK("http://x")'),
    *("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///'>]><a>&b;</a>", "&amp;", "&#0;", "]]>", "<!--", "<a"),
    *("a\r\nSet-Cookie: b=c", "a\r\n\r\nHTTP/1.1 200 OK", "a;b;c", "a,b,c", 'a"b', '"', "'", "''", "a\tb", "a|b", "a\\;b"),
    *("http://127.0.0.1:22/", "http://[::1]/", "http://169.254.169.254/latest/meta-data", "//example.com", "data:text/html,x"),
    *("(" * 500, "[" * 500, "{" * 500, "<" * 500, "(a+)+$", "^(a|a)*$", "(?R)", "\\x00", "\\u0000", "\\ud800", "%00", "\\N"),
    *("SELECT", "select", "table", "user", "id", "ORDER BY", "crm_sync_state", "pg_catalog", "DEFAULT", "CURRENT_USER"),
    *("-----BEGIN RSA PRIVATE KEY-----", "Bearer x", "password=x", "a" * 40, "C:\\CON", "NUL", "COM1", "aux.txt", "~", "."),
]  # fmt: skip
_UNICODE = [
    *("é", "e\u0301", "Å", "A\u030a", "Å", "ﬁ", "①", "ｆｕｌｌ", "ß", "ẞ", "İstanbul", "ı", "ς", "Σ", "ǅ", "ŉ", "ᾳ", "ﷺ"),
    *("محمد عبد الله", "שרה כהן", "王小明", "さくら 田中", "Анна", "Σωκράτης", "नमस्ते", "สวัสดี", "한국어", "ქართული", "አማርኛ"),
    *("\u202eevil\u202c", "\u2066a\u2069", "a\u200db", "a\u200cb", "\u200e\u200f", "a\u00adb", "\u034f", "\u115f", "\ufff9a\ufffb"),
    *("👩‍👩‍👧‍👦", "🇳🇱", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👍🏿", "1️⃣", "🎉" * 100, "\U0010ffff", "\U000e0001", "\ufffe", "\uffff", "\ufffd", "\ufdd0"),
    *("a" + "\u0301" * 200, "Z\u0351\u036b\u0343\u036a\u0302a\u0321\u0312l\u0363\u0364g\u0307\u0300o\u0339", "\u0e47" * 50),
    *("𝕏𝕐", "𐍈", "𓀀", "﷽", "⁦", "₣€£", "∞", "ℵ", "𝟘", "Ａ", "а", "Α", "ΑΒ", "раураl", "ⅰ", "ⅼ", "℀", "㎏", "㍿"),
    *("\ud800", "\udfff", "a\ud83db", "\udc00\ud800", "\ud83d\ude00", "x\udcffx"),  # lone surrogates, and a pair of them
]  # fmt: skip
_LONG = [
    "x" * 255,
    "x" * 256,
    "x" * 65_535,
    "x" * 65_537,
    "é" * 32_769,
    "x " * 50_000,
    "N" * MEBIBYTE,
    "\n" * 1000,
    "🎉" * 20_000,
]


def _controls() -> Iterator[str]:
    """Every control character alone inside a name, and a few classes of marks at both ends."""
    for code in [*range(0x20), *range(0x7F, 0xA0)]:
        yield f"An{chr(code)}n"
    for category in ("Cf", "Zs", "Mn", "Me", "Co"):
        marks = [chr(code) for code in range(0x80, 0xF000) if unicodedata.category(chr(code)) == category]
        for mark in (marks or ["\ue000"])[:: max(1, len(marks) // 6)][:6]:
            yield f"{mark}Ann{mark}"


def _cases() -> Iterator[str]:
    """Names that differ from each other only in what some programs fold and others do not."""
    for text in (
        "Straße",
        "STRASSE",
        "ΌΣΟΣ",
        "όσος",
        "ĳ",
        "IJ",
        "Ann",
        "ANN",
        "ann ",
        " ann",
        "a\u00a0nn",
        "ann\u200b",
    ):
        yield text
        yield unicodedata.normalize("NFD", text) + "\u0327"


TEXTS: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(
        [
            *_EMPTY,
            *_WORDS,
            *_NUMBERS,
            *_DATES,
            *_EMAILS,
            *_PHONES,
            *_HOSTILE,
            *_UNICODE,
            *_controls(),
            *_cases(),
            *_LONG,
        ]
    )
)
"""All different from each other."""

VALUES: Final[tuple[object, ...]] = (
    *(None, True, False, 0, -0.0, 0.1, 2**53, 2**53 + 1, -(2**63), 2**64, 1.7e308, 5e-324, 10**400),
    *([], {}, [None], [[]], [{}], {"a": 1}, {"": ""}, [1, "a", None], ["a"] * 10_000, {"value": None}),
)
"""What JSON can say in place of a text."""

BODIES: Final[tuple[bytes, ...]] = (
    b"", b" ", b"null", b"true", b"0", b'""', b"[]", b"{", b"}", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"\x00",
    b"\xef\xbb\xbf{}", b"NaN", b"Infinity", b'{"crmType":NaN}', b'{"crmType":1e400}', b'{"crmType":-Infinity}',
    b'{"crmType":"hubspot","crmType":"zoho"}', b'{"crmType":"hubspot","CRMTYPE":"zoho"}', b'{"crmType":"\xed\xa0\x80"}',
    b'{"crmType":"\\ud800"}', b'{"crmType":"\\u0000"}', b'{"crmType":"hubspot"}{}', b"{'crmType':'hubspot'}",
    b'{"crmType":"hubspot",}', b'{"crmType":' + b"9" * 5000 + b"}", '{"crmType":"hubspot"}'.encode("utf-16"),
)  # fmt: skip
"""Whole request bodies that are not what a route expects, or not JSON at all."""


def storable(text: str) -> str:
    """The text as the product keeps it: what PostgreSQL and UTF-8 cannot hold is U+FFFD."""
    return "".join(
        "\ufffd" if character == "\0" or "\ud800" <= character <= "\udfff" else character for character in text
    )
