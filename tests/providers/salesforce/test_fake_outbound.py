"""Outbound messages: what is sent, when it counts as received, and how often it comes again."""

from __future__ import annotations

import threading

import defusedxml.ElementTree
import pytest

from crm.providers.salesforce.fake import SalesforceFake
from crm.providers.salesforce.fake.outbound import acknowledged
from crm.testing.wsgi import LoopbackServer, Response, WsgiApp
from tests.providers.salesforce.fake_org import Org

OUT = "{http://soap.sforce.com/2005/09/outbound}"
SF = "{urn:sobject.enterprise.soap.sforce.com}"
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"


def ack(word="true"):
    return (
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
        f'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>{word}</Ack>'
        "</notificationsResponse></soapenv:Body></soapenv:Envelope>"
    ).encode()


class Receiver:
    """What the target saw; ``answer`` is what it says."""

    def __init__(self, org):
        self.seen = []
        self.answer = (200, ack())
        org.fake.outbound._post = self.post

    def post(self, url, body, headers):
        self.seen.append((url, defusedxml.ElementTree.fromstring(body), headers))
        return self.answer

    def notifications(self):
        return [each for _, root, _ in self.seen for each in root.iter(f"{OUT}Notification")]

    def record_ids(self):
        return [each.find(f"{OUT}sObject/{SF}Id").text for each in self.notifications()]

    def notification_ids(self):
        return [each.find(f"{OUT}Id").text for each in self.notifications()]


@pytest.fixture
def org():
    found = Org()
    found.receiver = Receiver(found)
    return found


def set_up(org, **changes):
    given = {"targetUrl": "http://127.0.0.1:9/hook", "paused": True, "fields": {"Contact": ["Email", "Title"]}}
    org.person("POST", "outbound", {**given, **changes})


def deliver(org):
    return org.person("POST", "outbound/deliver")["accepted"]


def test_a_message_carries_the_record_as_it_is_now(org):
    """Content of send time, null fields left out, an empty session id, one message for many notifications."""
    set_up(org)
    one, two = org.create(Email="a@x.example"), org.create(Email="b@x.example")
    org.call("PATCH", f"/sobjects/Contact/{one}", {"Email": "later@x.example"})
    assert deliver(org) == 3
    ((url, root, headers),) = org.receiver.seen
    assert (url, headers["Content-Type"], headers["SOAPAction"]) == (
        "http://127.0.0.1:9/hook",
        "text/xml; charset=utf-8",
        '""',
    )
    message = root.find(f".//{OUT}notifications")
    assert message.find(f"{OUT}OrganizationId").text == org.fake.people.org_id
    assert message.find(f"{OUT}SessionId").get(NIL) == "true"
    assert org.receiver.record_ids() == [one, two, one]
    shown = {each.tag.removeprefix(SF): each.text for each in org.receiver.notifications()[0].find(f"{OUT}sObject")}
    assert shown == {"Id": one, "Email": "later@x.example"}
    assert len(set(org.receiver.notification_ids())) == 3


@pytest.mark.parametrize("answer", [(200, ack("false")), (500, ack()), (200, b"ok"), (200, b"")])
def test_what_is_not_acknowledged_comes_again_with_the_same_id(org, answer):
    """Only Ack true with 200 counts; the wait doubles, two hours at most, for a day."""
    set_up(org, retrySeconds=10)
    org.create()
    org.receiver.answer = answer
    assert deliver(org) == 0
    org.clock.advance(9)
    assert (deliver(org), len(org.receiver.seen)) == (0, 1)
    org.clock.advance(1)
    deliver(org)
    org.clock.advance(19)
    deliver(org)
    assert len(org.receiver.seen) == 2
    org.receiver.answer = (200, ack())
    org.clock.advance(1)
    assert deliver(org) == 1
    assert len(set(org.receiver.notification_ids())) == 1


def test_a_message_is_given_up_after_a_day(org):
    """Then it is gone without a trace for the app."""
    set_up(org)
    org.create()
    org.receiver.answer = (503, b"")
    for _ in range(20):
        deliver(org)
        org.clock.advance(7_200)
    assert org.person("GET", "outbound") | {"targetUrl": "", "fields": {}, "events": []} == {
        "targetUrl": "",
        "fields": {},
        "events": [],
        "waiting": 0,
        "delivered": 0,
        "refused": len(org.receiver.seen),
        "dropped": 0,
        "expired": 1,
    }
    assert 10 < len(org.receiver.seen) < 20


def test_deletions_are_never_told_and_the_flow_can_leave_a_user_out(org):
    """Create and update only; the entry condition skips the integration user's own writes."""
    set_up(org, skipUserIds=[org.fake.people.api_user_id])
    record_id = org.create()
    assert deliver(org) == 0
    org.person("PATCH", f"records/{record_id}", {"fields": {"Title": "x"}})
    org.person("DELETE", f"records/{record_id}", {})
    assert (deliver(org), org.receiver.record_ids()) == (1, [record_id])


def test_duplicates_forged_orgs_and_batches(org):
    """A duplicate has the same notification id; a message holds as many notifications as set."""
    set_up(org, duplicate=1.0, organizationId="00D000000000000AAA", batchSize=2)
    org.create()
    assert deliver(org) == 2
    assert len(org.receiver.notification_ids()) == 2
    assert len(set(org.receiver.notification_ids())) == 1
    assert org.receiver.seen[0][1].find(f".//{OUT}OrganizationId").text == "00D000000000000AAA"
    set_up(org, batchSize=2)
    org.receiver.seen.clear()
    for _ in range(5):
        org.create()
    deliver(org)
    assert [len(list(root.iter(f"{OUT}Notification"))) for _, root, _ in org.receiver.seen] == [2, 2, 1]


def test_an_entity_bomb_is_no_acknowledgement():
    """The answer is parsed safely; what is no SOAP is no."""
    bomb = b'<!DOCTYPE x [<!ENTITY a "true">]><x>&a;</x>'
    assert [acknowledged(each) for each in (ack(), ack("false"), bomb, b"<Ack>true</Ack>")] == [
        True,
        False,
        False,
        False,
    ]


class Listener(WsgiApp):
    """A target on a real socket that acknowledges everything."""

    def __init__(self):
        self.body = b""
        self.came = threading.Event()

    def respond(self, request):
        self.body = request.body
        self.came.set()
        return Response(200, ack(), [("Content-Type", "text/xml")])


def test_a_message_goes_out_by_itself_over_a_socket():
    """With a target and no pause a thread sends; closing the fake ends it."""
    org, listener = Org(), Listener()
    with LoopbackServer(listener) as server:
        org.person("POST", "outbound", {"targetUrl": server.url, "fields": {"Contact": ["LastName"]}})
        org.create(LastName="<Ada> & Co")
        assert listener.came.wait(10)
        org.fake.close()
    assert b"<sf:LastName>&lt;Ada&gt; &amp; Co</sf:LastName>" in listener.body
    assert org.fake.outbound.delivered == 1


def test_the_fake_closes_without_having_sent():
    """Nothing is started that was not asked for."""
    SalesforceFake().close()
