"""Requests are read as UTF-8, whatever their Content-Type says.

Django decodes query, form and JSON by the charset that a request names, and takes any codec of Python's for one: those
that compress make two gigabytes of two megabytes, and those that are none of text end in an error before any view.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import django
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters

_UTF_8: Final = frozenset({"utf-8", "utf8"})


def readable(content_type: str) -> str:
    """The header as it was, or its media type alone where it names another charset or cannot be read."""
    try:
        media_type, parameters = parse_header_parameters(content_type)
    except (ValueError, LookupError):
        return content_type.partition(";")[0].strip()[:255]
    return content_type if parameters.get("charset", "utf-8").lower() in _UTF_8 else media_type


class _Utf8:
    """Mixed into Django's requests."""

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        said = {"CONTENT_TYPE": readable(str(meta.get("CONTENT_TYPE", "")))}
        super()._set_content_type_params(said)  # type: ignore[misc]  # of HttpRequest


class _WsgiRequest(_Utf8, WSGIRequest):
    pass


class _AsgiRequest(_Utf8, ASGIRequest):
    pass


class _WsgiHandler(WSGIHandler):
    request_class = _WsgiRequest


class _AsgiHandler(ASGIHandler):
    request_class = _AsgiRequest


def wsgi_application() -> WSGIHandler:
    """As ``get_wsgi_application``."""
    django.setup(set_prefix=False)
    return _WsgiHandler()


def asgi_application() -> ASGIHandler:
    """As ``get_asgi_application``."""
    django.setup(set_prefix=False)
    return _AsgiHandler()
