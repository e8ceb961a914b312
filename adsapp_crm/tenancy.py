"""The organization a piece of work belongs to: one transaction, one organization, never without.

``organization_context`` opens a transaction and tells PostgreSQL, for that transaction only, whose rows
may be seen (``app.org``; row-level security compares it) and who acts (``app.actor``, ``app.origin``; the
contact history notes them). Session-wide settings are never used: a pooled connection would carry them
into the next request. The managers of the models (``adsapp_crm.models.base``) read the same context, so
that each wall holds when the other is gone.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction


class NoOrganizationError(RuntimeError):
    """Organization data was asked for outside ``organization_context``."""

    code = "organization.missing"


class OrganizationMismatchError(RuntimeError):
    """Work for one organization tried to become work for another."""

    code = "organization.mismatch"


@dataclass(frozen=True, slots=True)
class _Context:
    organization_id: uuid.UUID
    actor: str
    origin: str
    using: str


_current: ContextVar[_Context | None] = ContextVar("organization", default=None)
_last_act: ContextVar[Callable[[], None] | None] = ContextVar("last_act", default=None)


def current_organization() -> uuid.UUID:
    """Id of the organization in whose context this runs; raises NoOrganizationError without one."""
    context = _current.get()
    if context is None:
        raise NoOrganizationError("There is no organization here: open organization_context(<organization id>) first.")
    return context.organization_id


def current_organization_or_none() -> uuid.UUID | None:
    context = _current.get()
    return context.organization_id if context else None


def current_actor() -> str:
    """Who acts, as the context's opener said; empty outside a context."""
    context = _current.get()
    return context.actor if context else ""


@contextmanager
def organization_context(
    organization_id: uuid.UUID | str, *, actor: str = "", origin: str = "", using: str = DEFAULT_DB_ALIAS
) -> Iterator[uuid.UUID]:
    """Open a transaction of one organization.

    ``actor`` is who acts (``user:<id>``, ``beat``, ``command:<name>``), ``origin`` by which way (``user``,
    ``api``, ``import``, ``pull:<connection id>``, ``undo``); both end in the contact history. Nested use
    with the same organization is a savepoint, and what it does not say it inherits; with another
    organization it raises OrganizationMismatchError.
    """
    wanted = organization_id if isinstance(organization_id, uuid.UUID) else uuid.UUID(str(organization_id))
    outer = _current.get()
    if outer is not None and outer.organization_id != wanted:
        raise OrganizationMismatchError("A transaction of one organization cannot open one of another.")
    if outer is not None:
        actor, origin, using = actor or outer.actor, origin or outer.origin, outer.using
    inner = _Context(wanted, actor, origin, using)
    with transaction.atomic(using=using):
        _announce(using, inner)
        token = _current.set(inner)
        try:
            yield wanted
            if outer is None:
                _act_last(using)
        finally:
            _current.reset(token)
    # A released savepoint keeps its settings (a rolled back one does not): give the outer block its own back.
    if connections[using].in_atomic_block and not transaction.get_rollback(using):
        _announce(using, outer)


def in_organization(organization_id: uuid.UUID | str) -> AbstractContextManager[object]:
    """The organization's context: the one that is open where there is one, without a savepoint, else a new one."""
    if str(current_organization_or_none()) == str(organization_id):
        return nullcontext()
    return organization_context(organization_id)


@contextmanager
def each_transaction_ends_with(act: Callable[[], None]) -> Iterator[None]:
    """Inside, every organization's transaction that is about to commit does ``act`` as its last piece of work."""
    token = _last_act.set(act)
    try:
        yield
    finally:
        _last_act.reset(token)


def _act_last(using: str) -> None:
    act = _last_act.get()
    if act is not None and not transaction.get_rollback(using):
        act()


def _announce(using: str, context: _Context | None) -> None:
    said = (str(context.organization_id), context.actor, context.origin) if context else ("", "", "")
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT set_config('app.org', %s, true), set_config('app.actor', %s, true),"
            " set_config('app.origin', %s, true), set_config('app.evidence', '', true)",
            said,
        )


@contextmanager
def change_evidence(evidence: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Note, with the contact changes made inside, when each value really changed.

    ``evidence``: contact id -> attribute (``first_name``, ``custom.tier``) -> JSON, kept as
    ``ContactChange.evidence``. Needs an open organization context.
    """
    current_organization()
    context = _current.get()
    using = context.using if context else DEFAULT_DB_ALIAS
    _set_evidence(using, json.dumps({key: dict(value) for key, value in evidence.items()}))
    yield
    # Not in a finally: after an error the transaction is broken, and rolling back takes the setting away.
    _set_evidence(using, "")


def _set_evidence(using: str, text: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT set_config('app.evidence', %s, true)", [text])
