"""What a plan will cost, on its page and by the API: also of a connection that nobody is logged in to any more."""

from __future__ import annotations

import pytest

from adsapp_crm.limiter import DayUse
from adsapp_crm.models import CrmConnection, CrmPlan
from adsapp_crm.wiring import day_use
from crm.http.limits import Priority
from tests.adsapp_crm.dashboard_stand import dashboard_stand, text_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tenant, settings):
    """A plan that waits: three people are to be made in HubSpot."""
    with dashboard_stand(tenant, settings) as made:
        made.connect()
        for number in range(3):
            made.contact(lastName=f"P{number}", email=f"p{number}@x.example")
        made.run()
        yield made


def plan_of(stand):
    with stand.inside:
        return CrmPlan.objects.get().pk


def asked(stand):
    answer = stand.client.get(f"/api/crm/plans/{plan_of(stand)}/forecast")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_plan_says_its_calls_and_their_part_of_the_day(stand, monkeypatch):
    """One batch of creations; HubSpot gives back what it stored, so nothing is read again."""
    day = DayUse(limit=50, used=49, usable_share=0.8, held_seconds=0.0, resets_in_seconds=60.0)
    monkeypatch.setattr("adsapp_crm.services.forecasts.wiring.day_use", lambda _row, _priority: day)

    found = asked(stand)

    assert (found["calls"], found["dayShare"], found["fitsToday"]) == (1, 0.02, False)
    page = text_of(stand.get(f"/plans/{plan_of(stand)}"))
    assert "Of today's calls 2 % · more than is left today: it goes on tomorrow" in page


def test_a_plan_of_a_connection_without_a_log_in_is_still_read(stand):
    """Its allowance is unknown; the plan is not."""
    with stand.inside:
        row = CrmConnection.objects.defer(None).get()
        row.seal_credentials({})
        row.save()

    found = asked(stand)

    assert (found["calls"], found["dayShare"], found["fitsToday"]) == (1, None, True)
    stand.get(f"/plans/{plan_of(stand)}")
    with stand.inside:
        assert day_use(row, Priority.FULL) is None
