"""The client against answers given in-process (``responses``): what it sends, what it reads, where it may go."""

from __future__ import annotations

import json
import traceback

import pytest
import requests

from crm.errors import (
    AuthorizationExpiredError,
    ConfigurationError,
    OutcomeUnknownError,
    ProviderUnavailableError,
    RateLimitedError,
    RecordGoneError,
    RejectedError,
    UnexpectedAnswerError,
)
from crm.http.answer import Answer
from crm.http.client import Call
from crm.http.redact import Secret
from crm.ports import Turn
from tests.crm.http.conftest import BASE, RecordingLimiter, raised


def test_an_answer_is_parsed_and_its_headers_reach_the_limiter(web, make_client, limiter):
    """A success gives status, lower-cased headers, parsed JSON and text."""
    web.get(f"{BASE}/v1/things", json={"name": "Zoë"}, headers={"X-Left": "7"})

    answer = make_client(BASE).request("GET", "/v1/things", operation="list", budget="search", cost=3)

    assert (answer.status, answer.body, answer.header("X-LEFT")) == (200, {"name": "Zoë"}, "7")
    assert limiter.acquired == [("search", 3)]
    assert [headers["x-left"] for headers in limiter.observed] == ["7"]


def test_path_values_are_quoted_and_parameters_encoded(web, make_client):
    """A value cannot leave its path segment, and sequences, booleans and None are written as documented."""
    web.get(f"{BASE}/v1/a%2Fb%3Fc/x?archived=false&id=1&id=2&q=a%26b", json={})

    make_client(BASE).request(
        "GET",
        "/v1/{id}/x",
        operation="get",
        path_params={"id": "a/b?c"},
        params={"archived": False, "id": [1, 2], "q": "a&b", "after": None},
    )

    assert web.calls[0].request.path_url == "/v1/a%2Fb%3Fc/x?archived=false&id=1&id=2&q=a%26b"


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_path_value_that_would_climb_is_refused(make_client, limiter, value):
    """Dots and nothing are no ids; nothing is sent."""
    client = make_client(BASE)

    with pytest.raises(RejectedError):
        client.request("GET", "/v1/{id}", operation="get", path_params={"id": value})
    assert limiter.acquired == []


def test_credentials_are_asked_for_before_each_try_and_secrets_revealed_only_on_the_wire(web, make_client):
    """``authorize`` is called per try, so that a renewed token is used at once."""
    tokens = iter([Secret("first"), Secret("second")])
    web.get(f"{BASE}/", status=503, json={})
    web.get(f"{BASE}/", json={})

    make_client(BASE, authorize=lambda: {"X-Token": next(tokens)}).request("GET", "/", operation="get")

    assert [call.request.headers["X-Token"] for call in web.calls] == ["first", "second"]


def test_a_body_is_sent_as_json_or_as_a_form(web, make_client):
    """JSON is ASCII; form values may be secrets."""
    web.post(f"{BASE}/a", json={})
    web.post(f"{BASE}/b", json={})
    client = make_client(BASE)

    client.request("POST", "/a", operation="a", json={"name": "Zoë"})
    client.request("POST", "/b", operation="b", form={"code": Secret("c&d")})

    assert [call.request.body for call in web.calls] == [b'{"name":"Zo\\u00eb"}', b"code=c%26d"]
    assert [call.request.headers["Content-Type"] for call in web.calls] == [
        "application/json",
        "application/x-www-form-urlencoded",
    ]


def test_the_providers_table_decides_and_its_error_is_placed(web, make_client):
    """The error of ``classify`` is raised as it is, with where it happened."""
    web.get(f"{BASE}/", status=404, json={}, headers={"X-Request-Id": "r-1"})
    client = make_client(
        BASE, classify=lambda answer: RecordGoneError(merged_into="7"), request_id_header="X-Request-Id"
    )

    error = raised(lambda: client.request("GET", "/", operation="get"))

    assert isinstance(error, RecordGoneError)
    assert (error.merged_into, error.provider, error.operation, error.request_id) == ("7", "example", "get", "r-1")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (300, UnexpectedAnswerError),
        (400, RejectedError),
        (401, AuthorizationExpiredError),
        (418, RejectedError),
        (429, RateLimitedError),
        (599, ProviderUnavailableError),
    ],
)
def test_a_status_that_the_table_does_not_know_is_never_success(web, make_client, status, expected):
    """Closed by default."""
    for _ in range(3 if status == 599 else 1):
        web.get(f"{BASE}/", status=status, json={})

    assert expected is type(raised(lambda: make_client(BASE).request("GET", "/", operation="get")))


def test_an_expired_token_is_renewed_once_and_the_write_sent_again(web, make_client):
    """A 401 had no effect; the second try uses the renewed credentials."""
    token = ["old"]
    web.post(f"{BASE}/", status=401, json={})
    web.post(f"{BASE}/", status=201, json={})

    answer = make_client(
        BASE, authorize=lambda: {"X-Token": token[0]}, reauthorize=lambda: token.insert(0, "new")
    ).request("POST", "/", operation="create", json={})

    assert (answer.status, [call.request.headers["X-Token"] for call in web.calls]) == (201, ["old", "new"])


def test_a_renewed_token_that_is_refused_too_ends_the_call(web, make_client):
    """One renewal a call."""
    renewals: list[int] = []
    web.get(f"{BASE}/", status=401, json={})
    web.get(f"{BASE}/", status=401, json={})

    error = raised(
        lambda: make_client(BASE, reauthorize=lambda: renewals.append(1)).request("GET", "/", operation="get")
    )

    assert (AuthorizationExpiredError, 1) == (type(error), len(renewals))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<html>maintenance</html>", "text/html"),
        ("{}", "text/plain"),
        ("{not json", "application/json"),
        ("[" * 65 + "]" * 65, "application/json"),
        ("[" * 100_000, "application/json"),
    ],
)
@pytest.mark.parametrize(("method", "expected"), [("GET", UnexpectedAnswerError), ("POST", OutcomeUnknownError)])
def test_a_success_that_cannot_be_read_is_no_success(web, make_client, body, content_type, method, expected):
    """200 with HTML, broken or bottomless JSON: a read is not understood, a write is unknown."""
    web.add(method, f"{BASE}/", body=body, content_type=content_type)

    assert expected is type(raised(lambda: make_client(BASE).request(method, "/", operation="x")))


def test_json_nested_to_the_limit_is_read(web, make_client):
    """64 levels pass."""
    web.get(f"{BASE}/", body="[" * 64 + "]" * 64, content_type="application/json")

    assert make_client(BASE).request("GET", "/", operation="x").status == 200


def test_numbers_that_nothing_can_hold_stay_text(web, make_client):
    """One absurd number costs its own field, not the page."""
    digits = "9" * 5_000
    web.get(f"{BASE}/", body=f'[1e400, NaN, {digits}, 1.5, 7, "x"]', content_type="application/json; charset=utf-8")

    assert ["1e400", "NaN", digits, 1.5, 7, "x"] == make_client(BASE).request("GET", "/", operation="x").body


def test_what_no_database_holds_is_replaced_where_it_comes_in(web, make_client):
    """NUL and halves of a surrogate pair, in values and in names; whole pairs and all other text stay."""
    body = r'{"a\u0000": ["x\u0000", "\ud800", "\ud83d\ude00", "\u0001é", 1, null]}'
    web.get(f"{BASE}/", body=body, content_type="application/json")

    found = make_client(BASE).request("GET", "/", operation="x").body
    assert found == {"a\ufffd": ["x\ufffd", "\ufffd", "\U0001f600", "\x01é", 1, None]}


def test_an_empty_answer_has_no_body(web, make_client):
    """204 needs no content type."""
    web.delete(f"{BASE}/1", status=204)

    answer = make_client(BASE).request("DELETE", "/1", operation="delete")

    assert (answer.status, answer.body, answer.text) == (204, None, "")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(web, make_client, status):
    """The bearer goes nowhere else."""
    web.get(f"{BASE}/", status=status, headers={"Location": "https://evil.example.net/"})

    assert UnexpectedAnswerError is type(raised(lambda: make_client(BASE).request("GET", "/", operation="x")))
    assert len(web.calls) == 1


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.net/page",
        "https://other.example.com/page",
        "http://api.example.com/page",
        "https://api.example.com:8443/page",
        "https://user@api.example.com/page",
        "https://api.example.com\\@evil.net/page",
        "@evil.net/page",
        "ftp://api.example.com/page",
        "page",
    ],
)
def test_a_next_page_link_to_another_server_is_refused(make_client, limiter, link):
    """Same scheme, host and port, or nothing is sent."""
    client = make_client(BASE)

    with pytest.raises(UnexpectedAnswerError):
        client.request("GET", link, operation="next")
    assert limiter.acquired == []


def test_a_path_with_two_slashes_stays_on_the_server(web, make_client):
    """A path is appended, never resolved like a link in a page."""
    web.get(f"{BASE}//evil.net/page", json={})

    make_client(BASE).request("GET", "//evil.net/page", operation="next")

    assert f"{BASE}//evil.net/page" == web.calls[0].request.url


def test_a_next_page_link_to_the_same_server_is_followed(web, make_client):
    """As the CRM gave it, its query included."""
    web.get(f"{BASE}/things?after=2", json={})

    make_client(BASE).request("GET", f"{BASE}/things?after=2", operation="next")

    assert web.calls[0].request.path_url == "/things?after=2"


@pytest.mark.parametrize(
    "base",
    ["http://api.example.com", "https://evil-example.com", "https://api.example.com.evil.net", "https://10.0.0.1"],
)
def test_a_base_address_outside_the_list_makes_no_client(make_client, base):
    """Checked before the first token is asked for."""
    with pytest.raises(ConfigurationError) as caught:
        make_client(base)
    assert caught.value.code == "config.host"


def test_the_turn_is_waited_for_and_a_refused_turn_sends_nothing(web, make_client, sleeper):
    """The limiter's wait is slept; its refusal passes with where it happened."""
    web.get(f"{BASE}/", json={})
    make_client(BASE, limiter=RecordingLimiter(2.25)).request("GET", "/", operation="x")
    assert sleeper.slept == [2.25]

    class Refusing(RecordingLimiter):
        def acquire(self, budget: str, cost: int = 1, turn: Turn | None = None) -> Turn:
            raise RateLimitedError(retry_after_seconds=99)

    error = raised(lambda: make_client(BASE, limiter=Refusing()).request("GET", "/", operation="x"))
    assert (error.provider, error.operation, len(web.calls)) == ("example", "x", 1)


def test_what_a_request_took_longer_than_its_fastest_is_told(web, make_client, sleeper, limiter):
    """The CRM may have counted it that much later: the first of a kind in full, an equal one not at all."""
    took = iter([2.0, 5.0, 1.0, 4.0])

    def respond(_request):
        sleeper.now += next(took)
        return 200, {}, "{}"

    for _ in range(4):
        web.add_callback("GET", f"{BASE}/", respond, content_type="application/json")
    client = make_client(BASE, monotonic=sleeper.monotonic)
    for _ in range(4):
        client.request("GET", "/", operation="x")
    assert limiter.told_late == [2.0, 3.0, -1.0, 3.0]


def test_the_hook_sees_every_try_and_nothing_private(web, make_client):
    """Method, template, status, time: no value of the address, no body."""
    calls: list[Call] = []
    web.get(f"{BASE}/p/anna%40example.com?q=secret", status=502, json={})
    web.get(f"{BASE}/p/anna%40example.com?q=secret", json={})

    make_client(BASE, on_call=calls.append).request(
        "GET", "/p/{email}", operation="get", path_params={"email": "anna@example.com"}, params={"q": "secret"}
    )

    assert [(call.method, call.path_template, call.status, call.attempt) for call in calls] == [
        ("GET", "/p/{email}", 502, 1),
        ("GET", "/p/{email}", 200, 2),
    ]


@pytest.mark.parametrize("token", ["tok\nen-1", " token-1", "token-ü-1"])
def test_a_credential_that_no_header_holds_is_not_quoted(make_client, token):
    """The library's own error would show it."""
    client = make_client(BASE, authorize=lambda: {"Authorization": token})

    error = raised(lambda: client.request("GET", "/", operation="x"))

    assert isinstance(error, ConfigurationError)
    assert "-1" not in "".join(traceback.format_exception(error))


def test_errors_show_neither_address_nor_token_nor_content(web, make_client):
    """Not in the text, and not in the traceback with its causes."""
    web.get(f"{BASE}/c?email=anna%40example.com", body=requests.ConnectionError("https://x/?email=anna@example.com"))
    web.get(f"{BASE}/c?email=anna%40example.com", status=500, json={"message": "anna@example.com"})
    web.get(f"{BASE}/c?email=anna%40example.com", body="anna@example.com", content_type="text/html")

    error = raised(lambda: make_client(BASE).request("GET", "/c", operation="x", params={"email": "anna@example.com"}))

    shown = "".join(traceback.format_exception(error)) + repr(error) + json.dumps(vars(error), default=str)
    shown = shown.replace('params={"email": "anna@example.com"}', "")  # this file's own source line
    assert "anna" not in shown
    assert "t0ken" not in shown


def test_repr_of_an_answer_shows_no_content():
    """An answer in a log or a local variable's dump is a status."""
    assert repr(Answer(200, {"a": "b"}, {"email": "x"}, "x")) == "Answer(status=200, is_json=True)"


class ToldCircuit:
    """Rests for as long as a test says; remembers what it was told."""

    def __init__(self):
        self.rests = 0.0
        self.told = []

    def rest_seconds(self):
        return self.rests

    def settle(self, *, reached):
        self.told.append(reached)


def test_a_host_that_rests_is_not_called_and_what_it_answers_is_told(web, make_client, limiter):
    """A refusal is a sign of life; errors of its own and silence are none."""
    circuits: dict[str, ToldCircuit] = {}
    client = make_client(BASE, circuits=lambda host: circuits.setdefault(host, ToldCircuit()))
    (circuit,) = circuits.values()
    web.get(f"{BASE}/", json={})
    client.request("GET", "/", operation="x")
    web.get(f"{BASE}/", status=404, json={})
    raised(lambda: client.request("GET", "/", operation="x"))
    for _ in range(3):
        web.get(f"{BASE}/", status=503, json={})
    raised(lambda: client.request("GET", "/", operation="x"))
    for _ in range(3):
        web.get(f"{BASE}/", body=requests.ConnectionError("gone"))
    raised(lambda: client.request("GET", "/", operation="x"))

    assert circuit.told == [True, True, *[False] * 6]
    sent, taken = len(web.calls), len(limiter.acquired)
    circuit.rests = 7.5
    error = raised(lambda: client.request("POST", "/", operation="x", json={}))
    assert isinstance(error, RateLimitedError)
    assert (error.code, error.retry_after_seconds, error.operation) == ("net.resting", 7.5, "x")
    assert (len(web.calls), len(limiter.acquired)) == (sent, taken)
