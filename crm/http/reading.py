"""From a streamed response to a whole ``Answer``, within bounds whatever the server sends."""

from __future__ import annotations

from typing import Final

import requests

from crm.http.answer import Answer, parse_json

MAX_COMPRESSION_RATIO: Final = 200
_RATIO_FLOOR_BYTES: Final = 1 << 20
"""Below a mebibyte a high ratio is an ordinary page of blanks."""
_CHUNK_BYTES: Final = 64 << 10
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class UnreadableAnswerError(Exception):
    """The answer cannot be used; the message says why and holds nothing of it."""


def read_answer(response: requests.Response, max_body_bytes: int, *, text_type: str = "") -> Answer:
    """Read a response that was opened with ``stream=True``; ``text_type`` is a media type that is taken as text.

    Raises UnreadableAnswerError for a redirect, for a success that is not JSON, and for content that is too long or
    compressed beyond belief; the HTTP library's errors and OSError for a connection that breaks.
    """
    status = response.status_code
    if status in _REDIRECTS:
        raise UnreadableAnswerError("it redirects, and redirects are not followed")
    content = _content(response, max_body_bytes)
    headers = {name.lower(): value for name, value in response.headers.items()}
    if not content.strip():
        return Answer(status, headers, None, "", is_json=False)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    problem = ""
    if media_type == text_type:
        return Answer(status, headers, None, content.decode("utf-8", "replace"), is_json=False)
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            return Answer(status, headers, parse_json(content), content.decode("utf-8", "replace"))
        except ValueError:
            problem = "it is no valid JSON, or nested too deeply"
    else:
        problem = f"it is {media_type[:40] or 'of no type'}, not JSON"
    if 200 <= status < 300:
        raise UnreadableAnswerError(problem)
    return Answer(status, headers, None, content.decode("utf-8", "replace"), is_json=False)


def _content(response: requests.Response, max_body_bytes: int) -> bytes:
    """The decoded content. Reads what is there, so that neither a drip nor a small bomb gets far."""
    raw = response.raw
    content = bytearray()
    while chunk := raw.read1(_CHUNK_BYTES, decode_content=True):
        content += chunk
        if len(content) > max_body_bytes:
            raise UnreadableAnswerError(f"it is longer than {max_body_bytes} bytes")
        if len(content) > max(_RATIO_FLOOR_BYTES, raw.tell() * MAX_COMPRESSION_RATIO):
            raise UnreadableAnswerError("it is compressed beyond belief")
    return bytes(content)
