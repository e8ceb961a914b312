"""Credentials that cannot be opened, in the words of what becomes of their connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from adsapp_crm.fields import UnreadableError
from adsapp_crm.models import CredentialsMismatchError
from crm.errors import ConfigurationError, ConnectionBlockedError, CrmError


def as_trouble(error: UnreadableError) -> CrmError:
    """What stops the connection: where somebody moved rows it needs another log-in, else the key it was sealed by."""
    kind = ConnectionBlockedError if isinstance(error, CredentialsMismatchError) else ConfigurationError
    return kind((type(error).__doc__ or "").strip(), code=error.code)


@contextmanager
def readable() -> Iterator[None]:
    """What cannot be opened inside raises CrmError (``config.encryption_key``, ``auth.credentials_foreign``)."""
    try:
        yield
    except UnreadableError as error:
        raise as_trouble(error) from error
