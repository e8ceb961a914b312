"""How much of its day's requests the organization has used, as its answers say in passing."""

from __future__ import annotations

from typing import Final

from crm.errors import CrmError
from crm.http.answer import Answer
from crm.providers.salesforce import endpoints
from crm.providers.salesforce.wire import classify

SCARCE_FROM: Final = 0.5
"""Share of the day's allowance that is used, by us or by other integrations, from which on requests are saved."""


class DayUse:
    """Of one connector. Safe to use from several threads."""

    def __init__(self) -> None:
        self._share = 0.0

    @property
    def is_scarce(self) -> bool:
        """``False`` as long as no answer has said."""
        return self._share >= SCARCE_FROM

    def classify(self, answer: Answer) -> CrmError | None:
        """The provider's table of errors, and a look at what the answer says of the day."""
        told = endpoints.read_usage(answer.headers)
        if told is not None and told.limit and told.used is not None:
            self._share = told.used / told.limit
        return classify(answer)
