"""A tiny WSGI router for the fakes: requests and responses as values, routes by template.

The same application answers over loopback (``LoopbackServer``) and, without any socket, to a
``requests`` session that has ``InProcessAdapter`` mounted.
"""

from __future__ import annotations

import html
import io
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

import requests
import urllib3
from requests.adapters import BaseAdapter
from waitress import wasyncore  # type: ignore[import-untyped]
from waitress.server import create_server  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

JSON_TYPE = "application/json;charset=utf-8"


class ConnectionDroppedError(Exception):
    """The fake closes the connection without an answer; ``hang_seconds`` it stays silent before."""

    def __init__(self, hang_seconds: float = 0.0) -> None:
        super().__init__("connection dropped by the fake")
        self.hang_seconds = hang_seconds


class UnreadableBodyError(ValueError):
    """The request body is not what its content type promises."""


@dataclass(slots=True)
class Request:
    """One request. ``path`` is decoded; ``headers`` have lower-case names; ``params`` come from the route.

    ``caller`` is whatever the fake learned from the credentials.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    host_url: str = ""
    query_text: str = ""
    params: dict[str, str] = field(default_factory=dict)
    template: str = ""
    caller: Any = None

    def first(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def listed(self, name: str) -> list[str]:
        """A list parameter, given repeated or with commas, without blanks or repeats."""
        parts = (part.strip() for value in self.query.get(name, ()) for part in value.split(","))
        return list(dict.fromkeys(part for part in parts if part))

    def json(self) -> Any:
        """The body as JSON; an empty body is an empty object. Raises UnreadableBodyError."""
        if not self.body:
            return {}
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise UnreadableBodyError(str(error)) from error

    def form(self) -> dict[str, str]:
        """The body as a form (the last value wins)."""
        text = self.body.decode("utf-8", "replace")
        return {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}


@dataclass(slots=True)
class Response:
    """One answer. ``delay_seconds`` it is held back; ``cut_at`` bytes are sent of what was promised."""

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    delay_seconds: float = 0.0
    cut_at: int | None = None


def json_response(value: object, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return Response(status, body, [("Content-Type", JSON_TYPE), *headers])


def html_response(text: str, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    return Response(status, text.encode(), [("Content-Type", "text/html; charset=utf-8"), *headers])


def redirect(location: str) -> Response:
    return Response(303, b"", [("Location", location)])


def no_content() -> Response:
    return Response(204)


def html_page(title: str, *parts: str) -> Response:
    """A plain page; ``parts`` are ready HTML, the title is escaped."""
    head = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        "<meta name=viewport content='width=device-width'><style>body{font:15px/1.45 system-ui,sans-serif;"
        "margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c1e21}table{border-collapse:collapse;width:100%}"
        "td,th{border-bottom:1px solid #d8dadf;padding:.35rem .5rem;text-align:left;vertical-align:top}"
        "input,textarea{font:inherit;width:100%;box-sizing:border-box;padding:.25rem}"
        "button{font:inherit;padding:.3rem .9rem}form.line{display:flex;gap:.5rem;margin:.75rem 0}"
        ".quiet{color:#5c6066}nav{margin-bottom:1rem}</style>"
    )
    return html_response(f"{head}<h1>{html.escape(title)}</h1>{''.join(parts)}</html>")


Handler = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    template: str
    segments: tuple[str, ...]
    handler: Handler


class Router:
    """Routes by template such as ``/crm/v3/objects/{objectType}``; a literal segment beats a parameter."""

    def __init__(self) -> None:
        self._routes: dict[int, list[Route]] = {}

    def add(self, method: str, template: str, handler: Handler) -> None:
        segments = tuple(template.strip("/").split("/"))
        routes = self._routes.setdefault(len(segments), [])
        routes.append(Route(method, template, segments, handler))
        routes.sort(key=lambda route: [segment.startswith("{") for segment in route.segments])

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]] | int:
        """The route and its parameters, or the status that says why there is none (404, 405)."""
        parts = path.strip("/").split("/")
        status = 404
        for route in self._routes.get(len(parts), ()):
            params: dict[str, str] = {}
            for segment, part in zip(route.segments, parts, strict=True):
                if segment.startswith("{"):
                    params[segment[1:-1]] = part
                elif segment != part:
                    break
            else:
                if route.method == method:
                    return route, params
                status = 405
        return status


class WsgiApp:
    """Base of a fake: turns WSGI into ``respond(request)`` and carries out the connection faults."""

    def respond(self, request: Request) -> Response:
        raise NotImplementedError

    def wait(self, seconds: float) -> None:
        """Hold an answer back; a fake with its own clock waits in that clock's time."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of threads and files; a fake without any has nothing to do."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            response = self._in_time(environ, self.respond(read_request(environ)))
        except ConnectionDroppedError as drop:
            channel = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
            if channel is None:
                raise
            self.wait(drop.hang_seconds)
            channel.will_close = True
            channel.socket.shutdown(socket.SHUT_RDWR)
            response = Response(500)
        headers = [(name, value) for name, value in response.headers if name.lower() != "content-length"]
        if response.status != 204:
            headers.append(("Content-Length", str(len(response.body))))
        phrase = HTTPStatus(response.status).phrase if response.status in _KNOWN_STATUSES else "Migration in progress"
        start_response(f"{response.status} {phrase}", headers)
        return [response.body if response.cut_at is None else response.body[: response.cut_at]]

    def _in_time(self, environ: WSGIEnvironment, response: Response) -> Response:
        """Hold a late answer back; in process, later than the caller waits is no answer."""
        most_seconds: float | None = environ.get("crm.testing.read_timeout_seconds")
        if most_seconds is not None and response.delay_seconds > most_seconds:
            raise ConnectionDroppedError(response.delay_seconds)
        if response.delay_seconds:
            self.wait(response.delay_seconds)
        return response


_KNOWN_STATUSES = frozenset(int(status) for status in HTTPStatus)


def read_request(environ: WSGIEnvironment) -> Request:
    headers = {
        name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    length = int(environ.get("CONTENT_LENGTH") or 0)
    query_text = environ.get("QUERY_STRING", "")
    return Request(
        method=environ["REQUEST_METHOD"],
        path=environ.get("PATH_INFO", "/").encode("latin-1").decode("utf-8", "replace"),
        query=parse_qs(query_text, keep_blank_values=True),
        headers=headers,
        body=environ["wsgi.input"].read(length) if length else b"",
        host_url=f"{environ.get('wsgi.url_scheme', 'http')}://{environ.get('HTTP_HOST', 'localhost')}",
        query_text=query_text,
    )


class InProcessAdapter(BaseAdapter):
    """A ``requests`` transport that calls a WSGI application instead of opening a socket.

    Mount it on the host's prefix: ``session.mount("https://api.example.com/", InProcessAdapter(app))``.
    A dropped connection is ``requests.ConnectionError``; an answer later than the read timeout is
    ``requests.ReadTimeout``, at once; a body cut short fails while it is read, as on a socket.
    """

    def __init__(self, app: WsgiApp) -> None:
        super().__init__()
        self._app = app

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,  # noqa: ARG002 - the transport's interface
        cert: Any = None,  # noqa: ARG002 - the transport's interface
        proxies: Any = None,  # noqa: ARG002 - the transport's interface
    ) -> requests.Response:
        read_timeout = timeout[1] if isinstance(timeout, tuple) else timeout
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[..., None]:
            started[:] = [int(status.split(" ", 1)[0]), status.split(" ", 1)[1], headers]
            return lambda _chunk: None

        try:
            chunks = self._app(_environ_of(request, read_timeout), start_response)
        except ConnectionDroppedError as drop:
            if drop.hang_seconds:
                raise requests.ReadTimeout(f"no answer within {read_timeout} seconds", request=request) from drop
            raise requests.ConnectionError("the server closed the connection", request=request) from drop
        status, reason, headers = started
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(b"".join(chunks)),
            headers=urllib3.HTTPHeaderDict(headers),
            status=status,
            reason=reason,
            preload_content=False,
            request_method=request.method,
            enforce_content_length=True,
        )
        response = requests.Response()
        response.status_code, response.reason, response.raw = status, reason, raw
        response.headers = requests.structures.CaseInsensitiveDict(headers)
        response.encoding = requests.utils.get_encoding_from_headers(response.headers)
        response.url = request.url or ""
        response.request = request
        if not stream:
            _ = response.content
        return response

    def close(self) -> None:
        """Nothing is held open."""


def _environ_of(request: requests.PreparedRequest, read_timeout_seconds: float | None) -> WSGIEnvironment:
    url = urlsplit(request.url or "")
    body = request.body or b""
    content = body.encode() if isinstance(body, str) else bytes(body)
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": request.method or "GET",
        "PATH_INFO": unquote(url.path).encode().decode("latin-1"),
        "QUERY_STRING": url.query,
        "CONTENT_LENGTH": str(len(content)),
        "HTTP_HOST": url.netloc,
        "wsgi.input": io.BytesIO(content),
        "wsgi.url_scheme": url.scheme,
        "crm.testing.read_timeout_seconds": read_timeout_seconds,
    }
    for name, value in (request.headers or {}).items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = str(value)
    return environ


_KEPT_IN_MEMORY: Final = 256 << 20
"""Bytes of an answer: a file for the rest would stay open where the client hangs up."""


class LoopbackServer:
    """The application on a real socket, in a background thread. A context manager.

    ``port=0`` takes a free one; ``url`` has no trailing slash. Raises OSError for a taken port.
    """

    def __init__(self, app: WsgiApp, *, host: str = "127.0.0.1", port: int = 0, threads: int = 16) -> None:
        logging.getLogger("waitress").setLevel(logging.CRITICAL)
        self._sockets: dict[int, Any] = {}
        try:
            self._server = create_server(
                app,
                map=self._sockets,
                host=host,
                port=port,
                threads=threads,
                ident=None,
                channel_timeout=600,
                outbuf_overflow=_KEPT_IN_MEMORY,
            )
        except OSError:
            wasyncore.close_all(self._sockets, ignore_all=True)
            raise
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="fake-server", daemon=True)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.effective_port}"

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._server.pull_trigger()
        self._thread.join()
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._sockets, ignore_all=True)

    def join(self) -> None:
        """Block until the server stops."""
        self._thread.join()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            wasyncore.loop(timeout=1.0, use_poll=True, map=self._sockets, count=1)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
