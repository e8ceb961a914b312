"""What a platform asks of the web server: ``/healthz``, ``/readyz`` and ``/metrics``.

Answered before anything else looks at the request: a probe comes by the machine's address, without TLS, session or
organization. None of the three tells anything of a contact, a person or an organization.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Iterator
from typing import Final

from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from adsapp_crm import conf
from adsapp_crm.catalogue import explain
from adsapp_crm.services.figures import Figure, gather
from adsapp_crm.services.vitals import vitals

_FORWARDED: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip")


class ProbesMiddleware:
    """Answers the three addresses itself and leaves every other to the rest."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = _ANSWERS.get(request.path_info)
        if answer is None:
            return self.get_response(request)
        if request.method not in {"GET", "HEAD"}:
            return _problem("request.method", 405, Allow="GET, HEAD")
        response = answer(request)
        response["Cache-Control"] = "no-store"
        return response


def alive(_request: HttpRequest) -> HttpResponse:
    """That the process answers; nothing is asked of anybody."""
    return JsonResponse({"ok": True})


def ready(_request: HttpRequest) -> HttpResponse:
    """Database, broker and beat, each by itself; 503 when one is missing."""
    found = vitals()
    ok = all(each.ok for each in found)
    told = {each.name: each.as_json() for each in found}
    return JsonResponse({"ok": ok, **told}, status=200 if ok else 503)


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format, for whoever has the token, or asks from this machine where none is set."""
    tokens = conf.metrics_tokens()
    if not (_has_token(request, tokens) if tokens else _is_from_here(request)):
        return _problem("metrics.refused", 401, **{"WWW-Authenticate": "Bearer"})
    try:
        figures = gather()
    except DatabaseError:
        return _problem("internal.database", 503)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Gathered(figures))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


_ANSWERS: Final = {"/healthz": alive, "/readyz": ready, "/metrics": metrics}


class _Gathered(Collector):
    def __init__(self, figures: list[Figure]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for each in self._figures:
            family = CounterMetricFamily if each.kind == "counter" else GaugeMetricFamily
            metric = family(each.name, each.help, labels=each.labels)
            for labels, number in each.rows:
                metric.add_metric(labels, number)
            yield metric


def _has_token(request: HttpRequest, tokens: tuple[str, ...]) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    offered = given.strip().encode() if scheme.lower() == "bearer" else b""
    fits = [hmac.compare_digest(offered, token.encode()) for token in tokens]
    return any(fits)


def _is_from_here(request: HttpRequest) -> bool:
    """Straight from this machine: what a proxy on it passes on is from anywhere."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _problem(code: str, status: int, **headers: str) -> HttpResponse:
    entry = explain(code)
    told = {
        "type": f"/docs/errors#{entry.anchor}",
        "title": str(entry.title),
        "status": status,
        "detail": str(entry.cause),
        "code": code,
        "fix": str(entry.fix),
    }
    return JsonResponse(told, status=status, headers=headers, content_type="application/problem+json")
