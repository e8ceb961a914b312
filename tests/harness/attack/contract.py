"""Requests made up from the committed description of the API, right and wrong ones, by people and keys of two
organizations: every answer is one that the description names, and none tells of the other organization.

Half of them name real rows, of either organization. Each is played on the same rows and rolled back. Needs the
dependency group ``contract`` (schemathesis); without it the attack says that it was not run.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.harness.attack import stage

DESCRIPTION: Final = Path(__file__).resolve().parents[3] / "docs" / "openapi.yaml"
MISSING: Final = "schemathesis is not installed; install it with: uv pip install --python .venv --group contract"
AWAY: Final = (501, 502, 503)
"""Documented answers about a CRM or a queue; any other 5xx is an error of ours."""
_REAL_CRMS: Final = ("hubspot", "salesforce", "pipedrive", "hubspot")


def attack(cases: int) -> dict[str, Any]:
    if importlib.util.find_spec("schemathesis") is None:
        return {"notRun": MISSING}
    from django.conf import settings

    from tests.adsapp_crm.oauth_stand import authorization_server

    with ExitStack() as stack:
        stage.use(*(stack.enter_context(authorization_server(key)) for key in sorted(set(_REAL_CRMS))))
        settings.CRM_SYNC_WAIT_SECONDS = 0  # there is no worker
        settings.CRM_API_REQUESTS_PER_MINUTE = settings.CRM_API_ORGANIZATION_REQUESTS_PER_MINUTE = 10**9
        sides = [_Side.made("Contract1"), _Side.made("Contract2")]
        run = _Run(sides)
        for share, operation, wrong in _shares(cases):
            # An operation that takes little has few requests: the next ones make up for it.
            run.play(operation, share - sum(run.statuses.values()), wrong=wrong)
    return run.result()


@dataclass
class _Side:
    """One organization: who may ask, and what must stay here."""

    tenant: Any
    rows: dict[str, str]
    """Ids by model name."""
    askers: list[tuple[Any, dict[str, str]]]
    """Client and headers of each."""
    secrets: frozenset[str]
    """Ids and texts that no answer to somebody else holds."""
    contents: list[str]

    @classmethod
    def made(cls, name: str) -> _Side:
        from django.contrib.auth import get_user_model
        from django.test import Client

        from adsapp_crm.models.choices import Role
        from adsapp_crm.services.api_keys import make_key
        from adsapp_crm.services.organizations import add_member
        from tests.adsapp_crm.tenant_rows import Tenant, fill_rows

        tenant = Tenant(*stage.organization(name))
        rows = {model: str(row.pk) for model, row in fill_rows(tenant).items()}
        with tenant.context(actor="command:attack"):
            keys = [make_key(f"{scope} key", [scope], actor="command:attack").text for scope in ("admin", "read")]
            add_member(f"operator@{name.lower()}.example", Role.OPERATOR)
        operator = get_user_model().objects.get(email=f"operator@{name.lower()}.example")
        askers = [(stage.browser(tenant.user), {}), (stage.browser(operator), {})]
        askers += [(Client(raise_request_exception=False), {"Authorization": f"Bearer {text}"}) for text in keys]
        return cls(tenant, rows, askers, frozenset({*rows.values(), str(tenant.id), name, *keys}), _contents(tenant))


@dataclass
class _Run:
    sides: list[_Side]
    numbers: Iterator[int] = field(default_factory=itertools.count)
    statuses: Counter[int] = field(default_factory=Counter)
    reached: set[str] = field(default_factory=set)
    """Operations that answered at least once with what they are there for."""
    failures: dict[str, list[str]] = field(
        default_factory=lambda: {"serverErrors": [], "undocumented": [], "told": [], "changed": []}
    )

    def play(self, operation: Any, count: int, *, wrong: bool) -> None:
        if count <= 0:
            return
        import schemathesis
        from hypothesis import HealthCheck, Phase, given
        from hypothesis import settings as hypothesis_settings

        mode = schemathesis.GenerationMode.NEGATIVE if wrong else schemathesis.GenerationMode.POSITIVE

        @hypothesis_settings(
            max_examples=count,
            database=None,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: Any) -> None:
            self.send(case)

        send()

    def send(self, case: Any) -> None:
        from django.db import transaction

        number = next(self.numbers)
        side, other = self.sides[number % 2], self.sides[(number + 1) % 2]
        client, headers = side.askers[number // 2 % len(side.askers)]
        # Rows named: the own ones, the own ones, the other's, what was made up.
        pick = number // 3 % 4
        rows: Mapping[str, str] = {} if pick == 3 else (other if pick == 2 else side).rows
        case.path_parameters = _named(case.path_parameters, rows, number)
        case.query = _named(case.query, rows, number)
        case.body = _named(case.body, rows, number)
        case.cookies = {}
        case.headers = {name: value for name, value in case.headers.items() if name.lower() != "authorization"}
        if "X-Organization" in case.headers and pick != 3:
            case.headers["X-Organization"] = str(side.tenant.id)
        with transaction.atomic():
            sent, answer = _sent(client, case, headers)
            if case.method != "GET" and answer.status_code < 300:
                self._look_next_door(case, other)
            transaction.set_rollback(True)
        self.statuses[answer.status_code] += 1
        if answer.status_code < 400:
            self.reached.add(case.operation.label)
        self._judge(case, sent, answer, other)

    def _judge(self, case: Any, sent: Any, answer: Any, other: _Side) -> None:
        from schemathesis.specs.openapi import checks

        label = f"{case.operation.label} {answer.status_code}"
        if answer.status_code >= 500 and answer.status_code not in AWAY:
            self._fail("serverErrors", label, sent, answer)
        every = [
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_schema_conformance,
            checks.response_headers_conformance,
        ]
        try:
            case.validate_response(answer, checks=every)
        except* Exception as group:  # noqa: BLE001  whatever a check says
            said = " | ".join(" ".join(str(each).split())[:300] for each in _leaves(group))
            self._fail("undocumented", f"{label}: {said}", sent, answer)
        asked = f"{sent.url} {sent.body!r}"
        text = answer.content.decode("utf-8", "replace")
        if any(each in text and each not in asked for each in other.secrets):
            self._fail("told", label, sent, answer)

    def _look_next_door(self, case: Any, other: _Side) -> None:
        """Inside the request's own transaction, before it is rolled back."""
        if _contents(other.tenant) != other.contents:
            self.failures["changed"].append(case.operation.label)

    def _fail(self, kind: str, label: str, sent: Any, answer: Any) -> None:
        self.failures[kind].append(f"{label} {sent.url} {str(sent.body)[:300]} -> {answer.content[:300]!r}")

    def result(self) -> dict[str, Any]:
        shown = {f"first{kind[0].upper()}{kind[1:]}": each[:20] for kind, each in self.failures.items() if each}
        return {
            "ok": not any(self.failures.values()),
            "cases": sum(self.statuses.values()),
            "operationsThatSucceeded": len(self.reached),
            "statuses": {str(status): number for status, number in sorted(self.statuses.items())},
            **{kind: len(each) for kind, each in self.failures.items()},
            **shown,
        }


def _shares(cases: int) -> Iterator[tuple[int, Any, bool]]:
    """Each operation twice, for right and for wrong requests, and how many there shall be after it."""
    import schemathesis

    described = schemathesis.openapi.from_path(DESCRIPTION)
    operations = [each.ok() for each in described.get_all_operations()]
    parts = [(operation, wrong) for operation in operations for wrong in (False, True)]
    for index, (operation, wrong) in enumerate(parts):
        yield cases * (index + 1) // len(parts), operation, wrong


def _named(found: Any, rows: Mapping[str, str], number: int) -> Any:
    """The same with ids of ``rows`` where a key names one, and often a CRM that there is."""
    from tests.adsapp_crm.api_matrix import MODEL_OF

    if not isinstance(found, Mapping):
        return found
    changed = dict(found)
    for key, value in found.items():
        if key in MODEL_OF and MODEL_OF[key] in rows:
            row = rows[MODEL_OF[key]]
            changed[key] = [row, *value[1:]] if isinstance(value, list) else row
        elif key in {"crmType", "crm_type"} and number % 4:
            changed[key] = _REAL_CRMS[number % len(_REAL_CRMS)]
    return changed


def _sent(client: Any, case: Any, more: Mapping[str, str]) -> tuple[Any, Any]:
    """(the request, the answer as schemathesis reads it)."""
    import requests
    from schemathesis.core.transport import Response

    said = case.as_transport_kwargs(base_url="http://localhost")
    names = ("method", "url", "headers", "params", "json", "data", "cookies")
    prepared = requests.Request(**{name: said[name] for name in names if name in said}).prepare()
    body = prepared.body or b""
    headers = {name: value for name, value in prepared.headers.items() if name.lower() != "content-length"}
    answer = client.generic(
        prepared.method,
        prepared.path_url,
        body.encode() if isinstance(body, str) else body,
        content_type=headers.pop("Content-Type", "application/json"),
        headers={**headers, **more},
    )
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    told = {name.lower(): [value] for name, value in answer.items()}
    return prepared, Response(answer.status_code, told, content, prepared, 0.0, verify=False)


def _leaves(group: BaseException) -> Iterator[BaseException]:
    if isinstance(group, BaseExceptionGroup):
        for each in group.exceptions:
            yield from _leaves(each)
    else:
        yield group


def _contents(tenant: Any) -> list[str]:
    """Every row of an organization, as text."""
    from django.apps import apps
    from django.db import connection

    from adsapp_crm.models.base import OrganizationModel

    found: list[str] = []
    with tenant.context(), connection.cursor() as cursor:
        for model in apps.get_models():
            if issubclass(model, OrganizationModel):
                cursor.execute(f"SELECT t::text FROM {model._meta.db_table} t ORDER BY id")
                found += [row[0] for row in cursor.fetchall()]
    return found
