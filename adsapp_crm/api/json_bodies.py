"""Bodies of requests and answers: JSON, whatever stands in it, and CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.renderers import JSONRenderer


class BoundedJSONParser(JSONParser):
    """JSON that is nested deeper than Python reads is bad input like any other, and no failure of ours."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            return super().parse(stream, media_type=media_type, parser_context=parser_context)
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error


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
