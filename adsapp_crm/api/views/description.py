"""The API's description, the same for everybody who is logged in."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request


class DescriptionView(SpectacularAPIView):
    """Made once in a process: it takes more than a second of a processor."""

    schema = None  # no route of an organization, and not described itself

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ARG002  the query says nothing
        renderer: Any = request.accepted_renderer
        kind: Any = type(renderer)
        answer = HttpResponse(_rendered(kind), content_type=renderer.media_type)
        answer["Content-Disposition"] = f'inline; filename="openapi.{renderer.format}"'
        return answer


@cache
def _rendered(renderer: Any) -> bytes:
    document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    made: bytes = renderer().render(document)
    return made
