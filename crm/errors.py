"""Every error of the sync, named by what happens next.

The tree (indentation is inheritance)::

    CrmError                          something went wrong between ADSapp and a CRM
      ConfigurationError              a person changes a setting; no retry
        MappingError                  a field is missing, of another type, or its value cannot be expressed
        UnsupportedFeatureError       this provider cannot express it
      ConnectionBlockedError          pause the connection, tell its owner
        AuthorizationExpiredError     the grant is gone: reconnect
        PermissionMissingError        a scope or an object permission is lacking
        WrongAccountError             the token opens another CRM account than the one pinned at connect
      TransientError                  try again later, unchanged
        RateLimitedError              burst or daily allowance used up
        ProviderUnavailableError      no connection, or a read that failed with 5xx or a timeout
      OutcomeUnknownError             a write whose answer was lost: look first, then decide
      RejectedError                   this record, as it is, never succeeds
        RecordInvalidError            the CRM refused fields of it
        RecordGoneError               deleted or merged away
        DuplicateRecordError          the CRM already has it, under another id
        StaleWriteError               changed since it was read: observe and plan again
        RecordLockedError             locked by the CRM for the moment: the item is retried
      SyncRefusedError                a guard fired: a person confirms
        MassDeletionError             more deletions or blanks than the brake allows
        MassCreationError             more creations than the brake allows
        EmptySourceError              one side is suddenly empty or has shrunk
      CursorExpiredError              read everything again, keep the links
      WebhookRejectedError            a delivery that is not to be believed
      UnexpectedAnswerError           the provider answered what its documentation does not say
      LeaseLostError                  another worker took over: commit nothing
      LimitExceededError              a hard cap of ours was passed

``OutcomeUnknownError`` is deliberately no ``TransientError``: retrying a write that may have
happened is how duplicates are made. Errors are raised once, in a provider's ``wire.classify``
and in ``crm.http.client``; above those nobody reads a status code or a message text.

``str()`` of an error never holds a body, a token or contact data: what a person needs to see is
``code`` (see ``adsapp_crm.catalogue``) and the redacted ``provider_message``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class CrmError(Exception):
    """Something went wrong between ADSapp and a CRM."""

    default_code = "internal.error"

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        provider: str = "",
        operation: str = "",
        request_id: str = "",
        provider_message: str = "",
    ) -> None:
        """``provider_message`` is the vendor's text after redaction; it is shown folded, never logged."""
        self.message = message or (self.__doc__ or "").strip().splitlines()[0]
        self.code = code or self.default_code
        self.provider = provider
        self.operation = operation
        self.request_id = request_id
        self.provider_message = provider_message
        super().__init__(self.message)

    def __str__(self) -> str:
        where = " ".join(part for part in (self.provider, self.operation) if part)
        return f"{self.message} [{self.code}]" + (f" ({where})" if where else "")


class ConfigurationError(CrmError):
    """A setting has to be changed by a person before this can work."""

    default_code = "config.invalid"


class MappingError(ConfigurationError):
    """A field mapping does not fit the CRM's fields."""

    default_code = "field.missing"

    def __init__(self, message: str = "", *, field: str = "", pointer: str = "", fix: str = "", code: str = "") -> None:
        """``pointer`` is a JSON pointer into the refused input, ``fix`` an imperative sentence."""
        super().__init__(message, code=code)
        self.field = field
        self.pointer = pointer
        self.fix = fix


class UnsupportedFeatureError(ConfigurationError):
    """The provider cannot express it."""

    default_code = "config.unsupported"


class ConnectionBlockedError(CrmError):
    """The connection cannot be used until its owner acts."""

    default_code = "auth.revoked"


class AuthorizationExpiredError(ConnectionBlockedError):
    """The CRM no longer accepts the credentials."""

    default_code = "auth.expired"


class PermissionMissingError(ConnectionBlockedError):
    """A scope or an object permission is lacking."""

    default_code = "auth.scope_missing"

    def __init__(self, message: str = "", *, missing: Sequence[str] = (), code: str = "", **context: str) -> None:
        super().__init__(message, code=code, **context)
        self.missing = tuple(missing)


class WrongAccountError(ConnectionBlockedError):
    """The credentials open another CRM account than the one this connection is pinned to."""

    default_code = "auth.wrong_org"


class TransientError(CrmError):
    """Try again later, unchanged."""

    default_code = "net.unavailable"


class RateLimitedError(TransientError):
    """The CRM's request allowance is used up for the moment."""

    default_code = "quota.rate"

    def __init__(
        self, message: str = "", *, retry_after_seconds: float, daily: bool = False, code: str = "", **context: str
    ) -> None:
        super().__init__(message, code=code or ("quota.daily" if daily else "quota.rate"), **context)
        self.retry_after_seconds = retry_after_seconds
        self.daily = daily


class ProviderUnavailableError(TransientError):
    """The CRM could not be reached, or failed to answer a read."""


class OutcomeUnknownError(CrmError):
    """The answer of a write was lost: it may or may not have happened."""

    default_code = "net.outcome_unknown"


class RejectedError(CrmError):
    """The CRM refuses this record as it is."""

    default_code = "rule.validation"


class RecordInvalidError(RejectedError):
    """The CRM refuses the values of some fields."""

    default_code = "rule.validation"

    def __init__(
        self, message: str = "", *, fields: Mapping[str, FieldRefusal] | None = None, code: str = "", **context: str
    ) -> None:
        """``fields``: remote field name -> why. Empty when the CRM did not say which field."""
        super().__init__(message, code=code, **context)
        self.fields: dict[str, FieldRefusal] = dict(fields or {})


class FieldRefusal:
    """Why the CRM refused one field: a catalogue code and the redacted vendor text."""

    __slots__ = ("code", "provider_message")

    def __init__(self, code: str, provider_message: str = "") -> None:
        self.code = code
        self.provider_message = provider_message

    def __repr__(self) -> str:
        return f"FieldRefusal({self.code!r})"


class RecordGoneError(RejectedError):
    """The remote record was deleted or merged away."""

    default_code = "state.deleted"

    def __init__(self, message: str = "", *, merged_into: str = "", code: str = "", **context: str) -> None:
        super().__init__(message, code=code or ("state.merged" if merged_into else "state.deleted"), **context)
        self.merged_into = merged_into


class DuplicateRecordError(RejectedError):
    """The CRM already holds this record under another id."""

    default_code = "match.duplicate_in_crm"

    def __init__(self, message: str = "", *, remote_id: str = "", code: str = "", **context: str) -> None:
        """``remote_id`` of the existing record, empty when the CRM does not tell."""
        super().__init__(message, code=code, **context)
        self.remote_id = remote_id


class StaleWriteError(RejectedError):
    """The remote record changed since it was read."""

    default_code = "state.changed"


class RecordLockedError(RejectedError):
    """The CRM has locked the record for the moment."""

    default_code = "state.locked"


class SyncRefusedError(CrmError):
    """The plan is held until a person confirms it."""

    default_code = "brake.held"


class MassDeletionError(SyncRefusedError):
    """The plan would delete or blank more records than the brake allows."""

    default_code = "brake.deletions"


class MassCreationError(SyncRefusedError):
    """The plan would create more records than the brake allows."""

    default_code = "brake.creations"


class EmptySourceError(SyncRefusedError):
    """One side is suddenly empty, or has shrunk."""

    default_code = "brake.empty_source"


class CursorExpiredError(CrmError):
    """The CRM no longer knows the position: read everything again, keep the links."""

    default_code = "net.cursor_expired"


class WebhookRejectedError(CrmError):
    """The webhook delivery is forged, stale, foreign or malformed."""

    default_code = "webhook.rejected"


class UnexpectedAnswerError(CrmError):
    """The CRM answered something its documentation does not describe."""

    default_code = "net.bad_response"

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        provider: str = "",
        operation: str = "",
        request_id: str = "",
        provider_message: str = "",
        payload: str = "",
    ) -> None:
        """``payload`` is the answer's shape (``crm.http.redact.shape_of``): without any value of a person. It is kept
        with the run, for whoever has to find out what changed at the CRM.
        """
        super().__init__(
            message,
            code=code,
            provider=provider,
            operation=operation,
            request_id=request_id,
            provider_message=provider_message,
        )
        self.payload = payload


class LeaseLostError(CrmError):
    """Another worker has taken over this stream or record."""

    default_code = "internal.lease_lost"


class LimitExceededError(CrmError):
    """A hard cap of this product was passed."""

    default_code = "internal.limit"
