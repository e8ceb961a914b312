"""What a method of a view takes, answers and needs: said once, for checks, documentation and tests alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rest_framework.serializers import BaseSerializer

from adsapp_crm.models.choices import Role


@dataclass(frozen=True, slots=True)
class Proof:
    """What a program shows in place of a log-in, where no role and no organization counts."""

    name: str
    """Of the security scheme in the OpenAPI document."""
    scheme: str
    """As ``Authorization`` begins: ``bearer`` or ``basic``."""
    told: str
    """One sentence, for people."""
    refused: str
    """What 401 says."""


@dataclass(frozen=True, slots=True)
class Operation:
    """``roles`` and the OpenAPI schema are made of it; the isolation and role tests run over it."""

    role: Role | None
    """The least one that may; None: ``proof`` decides."""
    summary: str
    answer: type[BaseSerializer[Any]] | None = None
    """None: no body."""
    body: type[BaseSerializer[Any]] | None = None
    query: type[BaseSerializer[Any]] | None = None
    status: int = 200
    also: tuple[int, ...] = ()
    """Other statuses with the same answer."""
    problems: tuple[int, ...] = ()
    """Statuses of problem documents besides those that any route may answer with."""
    media_type: str = "application/json"
    takes: str = "application/json"
    """Media type of the body; of any other than JSON, ``body`` is None."""
    conditional: bool = False
    """Takes ``If-Match``."""
    example: Mapping[str, Any] | None = None
    """Of the body."""
    answer_example: Any = field(default=None)
    proof: Proof | None = None

    def __post_init__(self) -> None:
        if (self.role is None) != (self.proof is not None):
            raise ValueError(f"{self.summary}: an operation goes by a role or by a proof, one of them.")
