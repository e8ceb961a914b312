"""A JSON value that the database only ever sees encrypted.

Fernet with the ``FERNET_KEYS`` setting and the key derivation of django-fernet-fields, so that either
reads what the other wrote. The first key encrypts, all decrypt. A ciphertext copied to another row
still opens there: who owns the value has to stand inside it and be compared on use
(``CrmConnection.open_credentials``).
"""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

_SALT = b"django-fernet-fields-hkdf-salt"
_INFO = b"django-fernet-fields"


class UnreadableError(Exception):
    """A sealed value cannot be used: a matter of its own row, which stops nobody else's work."""

    code: str


class DecryptionError(UnreadableError):
    """No key in FERNET_KEYS opens a stored value."""

    code = "config.encryption_key"


@lru_cache(maxsize=16)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ImproperlyConfigured("FERNET_KEYS is empty: nothing can be encrypted. Set at least one key.")
    return MultiFernet([Fernet(_derive(key)) for key in keys])


def _derive(key: str) -> bytes:
    raw = HKDF(algorithm=hashes.SHA256(), length=32, salt=_SALT, info=_INFO).derive(key.encode())
    return base64.urlsafe_b64encode(raw)


def encryption_box() -> MultiFernet:
    """The keys in force now."""
    return _box(tuple(getattr(settings, "FERNET_KEYS", ())))


if TYPE_CHECKING:
    _Field = models.Field[Any, Any]
else:
    _Field = models.Field


def boxes() -> tuple[MultiFernet, ...]:
    """One for each key in force, in their order: tells which of them opens a value."""
    return tuple(_box((key,)) for key in getattr(settings, "FERNET_KEYS", ()))


class EncryptedJSONField(_Field):
    """Holds any JSON value; ``None`` is NULL. Cannot be searched, ordered by or serialised."""

    empty_strings_allowed = False
    description = "Encrypted JSON"

    def get_internal_type(self) -> str:
        return "BinaryField"

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:  # noqa: ARG002
        # Expressions pass: bulk_update wraps values in Case and When, and encrypting those would store rubbish.
        if value is None or hasattr(value, "as_sql"):
            return value
        token = encryption_box().encrypt(json.dumps(value, cls=DjangoJSONEncoder).encode())
        return connection.Database.Binary(token)  # type: ignore[attr-defined]

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        if hasattr(value, "as_sql"):
            return value
        return self.get_db_prep_value(value, connection)

    def from_db_value(self, value: Any, _expression: Any, _connection: BaseDatabaseWrapper) -> Any:
        if value is None:
            return None
        try:
            return json.loads(encryption_box().decrypt(bytes(value)))
        except InvalidToken as error:
            raise DecryptionError(
                f"No key in FERNET_KEYS opens {self.model._meta.db_table}.{self.column}: put back the key it was "
                "written with."
            ) from error

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise FieldError(f"{self.name} is encrypted: it can be compared with NULL only.")
        return super().get_lookup(lookup_name)

    def value_to_string(self, obj: models.Model) -> str:  # noqa: ARG002
        raise FieldError(f"{self.name} is encrypted: it is not serialised.")
