"""Poison through each CRM's connector, against its stand-in: what one record holds harms no other record."""

from __future__ import annotations

import pytest

from crm.errors import CrmError
from crm.ports import CreateItem
from tests.poison.corpus import TEXTS, storable
from tests.providers.hubspot.stand import hubspot_stand
from tests.providers.pipedrive.stand import connected_stand
from tests.providers.salesforce.stand import salesforce_stand

pytestmark = pytest.mark.slow

SENT = list(dict.fromkeys(storable(text) for text in TEXTS if len(text) <= 65_537))
"""The app keeps nothing that cannot be stored, so nothing else is ever sent."""


def hubspot():
    return hubspot_stand(limits="none")


@pytest.fixture(params=[hubspot, salesforce_stand, connected_stand], ids=["hubspot", "salesforce", "pipedrive"])
def stand(request):
    with request.param() as found:
        yield found


def send(stand, field, texts):
    """A record of each text in that field; the outcome of each by its text."""
    connector, names = stand.connector(), stand.fields
    connector.prepare(names.record_type)
    items = [
        CreateItem(str(number), f"org:{number}", {names.name: f"Person {number}", field: text})
        for number, text in enumerate(texts)
    ]
    results = {}
    for start in range(0, len(items), 200):
        results |= connector.create(names.record_type, items[start : start + 200])
    assert results.keys() == {item.key for item in items}
    return {text: results[str(number)] for number, text in enumerate(texts)}


@pytest.mark.parametrize("which", ["other", "email"])
def test_each_record_is_written_or_refused_by_itself(stand, which):
    """Exactly those without an error are in the CRM; each error has a code, and all are read again."""
    field = getattr(stand.fields, which)
    texts = SENT if which == "other" else [text for text in SENT if len(text) < 2000]
    outcome = send(stand, field, texts)
    written = {result.record.remote_id for result in outcome.values() if result.record and not result.error}
    refused = {text: result.error for text, result in outcome.items() if result.error}
    assert written == set(stand.live_ids())
    assert all(isinstance(error, CrmError) and error.code for error in refused.values())
    assert len(written) + len(refused) == len(texts)
    if which == "other":
        assert all(len(text) > 40 for text in refused), [text[:40] for text in refused if len(text) <= 40]
    names = [stand.fields.name, field]
    found = stand.connector().fetch(stand.fields.record_type, sorted(written), names)
    assert all(field in record.values for record in found.values())


def test_every_record_of_a_scan_is_read(stand):
    """What the CRM holds comes through as it is, page by page, the strangest value included."""
    texts = [text for text in TEXTS if len(text) <= 100 and text.strip()]
    named = {f"Person {number}": text for number, text in enumerate(texts)}
    fields = stand.fields
    taken = {}
    for name, text in named.items():
        try:
            stand.add([{fields.name: name, fields.other: text}])
        except (AssertionError, ValueError):
            continue  # this CRM would not hold it either
        taken[name] = text
    assert len(taken) > 250
    seen, after = {}, None
    connector = stand.connector()
    while True:
        page = connector.scan(fields.record_type, [fields.name, fields.other], after)
        seen |= {record.values[fields.name]: record.values[fields.other] for record in page.records}
        after = page.next
        if after is None:
            break
    assert seen.keys() == taken.keys()
    plain = {name: text for name, text in taken.items() if text.isprintable()}  # a CRM may drop control characters
    assert {name: (seen[name] or "").strip() for name in plain} == {name: text.strip() for name, text in plain.items()}
