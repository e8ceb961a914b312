"""The back door's part for outbound messages."""

from __future__ import annotations

from crm.providers.salesforce.fake.outbound import OutboundSender, parse_settings
from crm.providers.salesforce.fake.state import State
from crm.testing.wsgi import Request, Response, Router, json_response


class OutboundApi:
    def __init__(self, state: State, sender: OutboundSender) -> None:
        self._state = state
        self._sender = sender

    def mount(self, router: Router) -> None:
        router.add("GET", "/_fake/outbound", self.read)
        router.add("POST", "/_fake/outbound", self.change)
        router.add("POST", "/_fake/outbound/deliver", self.deliver)

    def read(self, _request: Request) -> Response:
        sender = self._sender
        return json_response(
            {
                "targetUrl": sender.settings.target_url,
                "fields": sender.settings.fields,
                "events": sender.settings.events,
                "waiting": sender.waiting,
                "delivered": sender.delivered,
                "refused": sender.refused,
                "dropped": sender.dropped,
                "expired": sender.expired,
            }
        )

    def change(self, request: Request) -> Response:
        """Replace the settings. The thread that sends starts with the first target, unless ``paused``."""
        settings = parse_settings(request.json(), self._state)
        self._sender.configure(settings)
        if settings.target_url and not settings.paused:
            self._sender.start()
        return self.read(request)

    def deliver(self, _request: Request) -> Response:
        """One round in this call, for a sender that is paused: ``{"accepted": n}``."""
        accepted = self._sender.deliver_due(even_paused=True)
        return json_response({"accepted": accepted, "waiting": self._sender.waiting})
