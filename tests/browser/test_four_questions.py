"""What a newcomer asks after the log-in: each answer is three clicks away at most, in dashboard and admin."""

from __future__ import annotations

import re

import pytest

from adsapp_crm.models import CrmSyncState, User
from tests.browser.conftest import WIDTHS, log_in, opened

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MOST_CLICKS = 3


class Hand:
    """Clicks and counts them; filling a search and pressing Enter is one."""

    def __init__(self, window, begin):
        self.window, self.begin, self.clicks = window, begin, 0

    def asks(self):
        """Back at the first page, as after the log-in."""
        self.window.goto(self.begin)
        self.clicks = 0
        return self

    def click(self, role, name):
        self.clicks += 1
        self.window.get_by_role(role, name=re.compile(name)).first.click()
        return self

    def search(self, place, text):
        self.clicks += 1
        before = self.window.url
        place.fill(text)
        place.press("Enter")
        self.window.wait_for_url(lambda url: url != before)  # the page before shows the contact too
        return self

    def reads(self, *texts):
        for text in texts:
            self.window.get_by_text(re.compile(text)).first.wait_for()
        assert self.clicks <= MOST_CLICKS


@pytest.fixture
def scene(stand):
    """Two conflicts, and a record that a rule of the CRM refuses; the owner may use the admin too."""
    stand.with_three_people().with_two_conflicts()
    with stand.inside:
        CrmSyncState.objects.filter(contact__email="cyd@x.example").update(error_code="rule.validation", attempts=3)
    User.objects.filter(pk=stand.tenant.user.pk).update(is_staff=True)
    return stand


def test_the_four_questions_are_answered_within_three_clicks(chromium, live_server, scene):
    """At the width of a desk and of a telephone, where the admin's menu is folded away."""
    with opened(chromium, 1280) as window:
        log_in(window, live_server.url, scene.tenant.user.email)
        for width, height in WIDTHS.items():
            window.set_viewport_size({"width": width, "height": height})
            ask_the_dashboard(Hand(window, window.base))
            ask_the_admin(Hand(window, f"{live_server.url}/admin/"))
        assert window.said == []


def ask_the_dashboard(hand):
    find = hand.window.get_by_label("Find a contact by e-mail")
    hand.asks().reads("Needs attention", "1 record fails: see why")
    hand.asks().search(find, "cyd@x.example").reads("A rule in the CRM refuses the record", "Read the CRM.s text")
    hand.asks().click("link", "^Approved plan").reads("What it did|Lines|created in the CRM")
    hand.asks().click("link", "See why 1 record fails").reads("Read the CRM.s text", "Try again")
    hand.asks().click("link", "Answer 2 conflicts").click("link", "^Answer Ada").reads("Keep ADSapp.s")


def ask_the_admin(hand):
    find = hand.window.get_by_label("Find a contact by name")
    hand.asks().reads("Needs attention", "1 record fails")
    hand.asks().search(find, "cyd@x.example").click("link", "^cyd@x.example")
    hand.reads("A rule in the CRM refuses the record", "Read the CRM.s text")
    hand.asks().click("link", "^(Full|Manual|Delta)$").reads("everything it did")
    hand.asks().click("link", "1 record fails").reads("rule.validation")
    hand.asks().click("link", "2 conflicts").reads("jobTitle")
