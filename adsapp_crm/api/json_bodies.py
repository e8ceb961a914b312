"""Bodies of requests and answers: JSON, whatever stands in it, and CSV."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.renderers import JSONRenderer

from adsapp_crm.services.refusals import refuse


class BoundedJSONParser(JSONParser):
    """JSON as everybody reads it: UTF-8, nested no deeper than Python goes, and no key of an object twice.

    A charset that the request names says nothing (RFC 8259): some codecs of Python's make gigabytes of megabytes.
    Which of two values counts differs from reader to reader, so one that stands there twice says nothing.
    """

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002  DRF's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        try:
            text = codecs.getreader("utf-8")(stream)
            return json.load(text, object_pairs_hook=_object, parse_constant=_no_number)
        except RecursionError as error:
            raise refuse("request.invalid", "The JSON is nested too deeply.", fix="Nest it less.") from error
        except ValueError as error:
            raise ParseError("The body is not JSON.") from error


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise refuse("request.invalid", f"An object names {twice[:100]!r} twice.", fix="Keep one of the two.")
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


class CsvParser(BaseParser):
    """The bytes as they came: what is wrong with which row is said by who reads them."""

    media_type = "text/csv"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002  DRF's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        return stream.read()


class TotalJSONRenderer(JSONRenderer):
    """Half a surrogate pair that a refusal quotes has no UTF-8: an answer that holds one is escaped throughout."""

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            return super().render(data, accepted_media_type, renderer_context)
        except UnicodeEncodeError:
            self.ensure_ascii = True  # type: ignore[misc]  # of this renderer alone, which serves one answer
            return super().render(data, accepted_media_type, renderer_context)
