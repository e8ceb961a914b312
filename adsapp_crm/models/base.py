"""What every table of an organization has: a time-ordered key, its organization, and managers that insist on it."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self, TypeVar

from django.db import models

from adsapp_crm.tenancy import OrganizationMismatchError, current_organization, current_organization_or_none

_Model = TypeVar("_Model", bound="OrganizationModel")


def uuid7() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562 section 5.7): milliseconds first, so that new rows lie together in an index."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    return uuid.UUID(
        int=(milliseconds & 0xFFFF_FFFF_FFFF) << 80
        | 0x7 << 76
        | (random >> 62) << 64
        | 0b10 << 62
        | random & 0x3FFF_FFFF_FFFF_FFFF
    )


class OrganizationQuerySet(models.QuerySet[_Model]):
    """Rows of one organization; what it inserts belongs to the current one."""

    def bulk_create(self, objs: Iterable[_Model], *args: Any, **kwargs: Any) -> list[_Model]:
        rows = list(objs)
        for row in rows:
            row.claim_for_organization()
        return super().bulk_create(rows, *args, **kwargs)


class OrganizationManager(models.Manager[_Model]):
    """Sees the current organization's rows only, and refuses to work without one.

    Row-level security says the same in the database; this is the second wall.
    """

    def get_queryset(self) -> OrganizationQuerySet[_Model]:
        return OrganizationQuerySet(self.model, using=self._db).filter(organization_id=current_organization())


class OrganizationModel(models.Model):
    """A row of one organization. ``migrations/_tenancy.py`` gives its table the policy and the composite keys."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(
        "adsapp_crm.Organization",
        on_delete=models.PROTECT,
        default=current_organization_or_none,
        editable=False,
        related_name="+",
        db_index=False,  # the unique (organization_id, id) begins with it
    )

    objects: ClassVar[OrganizationManager[Self]] = OrganizationManager()
    unscoped: ClassVar[models.Manager[Self]] = models.Manager()
    """Adds no filter of its own: for migrations and the owner's tools. Row-level security still holds."""

    class Meta:
        abstract = True
        base_manager_name = "objects"
        default_manager_name = "objects"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.claim_for_organization()
        super().save(*args, **kwargs)

    def claim_for_organization(self) -> None:
        """Make this new row the current organization's; raises when it names another, or when there is none."""
        current = current_organization()
        if self.organization_id is None:
            self.organization_id = current
        elif self.organization_id != current:
            raise OrganizationMismatchError(f"A {self._meta.verbose_name} of another organization cannot be saved.")


def indexed(*fields: str, name: str, condition: models.Q | None = None) -> models.Index:
    """An index that begins with the organization, as every query does."""
    return models.Index(fields=["organization", *fields], name=name, condition=condition)


def unique(
    *fields: str, name: str, condition: models.Q | None = None, nulls_distinct: bool | None = None
) -> models.UniqueConstraint:
    """A unique rule inside one organization: a global one would tell what another organization has."""
    return models.UniqueConstraint(
        fields=["organization", *fields], name=name, condition=condition, nulls_distinct=nulls_distinct
    )


def one_of(choices: Sequence[tuple[str, Any]], column: str, *, name: str) -> models.CheckConstraint:
    """The column holds one of the words, whatever wrote it."""
    return models.CheckConstraint(
        condition=models.Q(**{f"{column}__in": [value for value, _label in choices]}), name=name
    )
