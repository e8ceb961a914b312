"""Answers to conflicts: what they store, what they refuse, and that a refusal changes nothing."""

from __future__ import annotations

import uuid

import pytest

from adsapp_crm.models import (
    Contact,
    CrmConflict,
    CrmConnection,
    CrmLedgerEntry,
    CrmObservation,
    CrmSyncState,
)
from adsapp_crm.services.conflicts import (
    answer_conflict,
    candidates_of,
    create_anyway,
    ignore_match,
    link_pair,
    merge_named,
)
from adsapp_crm.services.refusals import RefusedError
from adsapp_crm.storage import DjangoStore
from crm.model import Side

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def connection(tenant):
    with tenant.context():
        return CrmConnection.objects.create(crm_type="hubspot", remote_account_id="42")


def question(tenant, connection, **values):
    with tenant.context():
        return CrmConflict.objects.create(connection=connection, **values)


def field_question(tenant, connection):
    with tenant.context():
        contact = Contact.objects.create(first_name="Ann")
        link = CrmSyncState.objects.create(
            connection=connection, contact=contact, crm_record_type="contacts", crm_record_id="7"
        )
    values = {"app": "Ann", "crm": "Anne", "baseApp": "An", "baseCrm": "An"}
    return question(
        tenant,
        connection,
        kind="field",
        link=link,
        contact=contact,
        mapping_id="m",
        app_field="firstName",
        values=values,
    )


def match_question(tenant, connection):
    """One record, two contacts that could be it."""
    with tenant.context():
        first = Contact.objects.create(first_name="Ann", email="info@example.com")
        second = Contact.objects.create(first_name="Bob", email="info@example.com")
        CrmObservation.objects.create(
            connection=connection, record_type="contacts", remote_id="7", values={"email": "info@example.com"}
        )
    conflict = question(
        tenant,
        connection,
        kind="match",
        code="match.ambiguous",
        record_type="contacts",
        remote_id="7",
        candidates=[f"contact:{first.pk}", f"contact:{second.pk}"],
    )
    return conflict, first, second


def refusal(tenant, act):
    with tenant.context(), pytest.raises(RefusedError) as raised:
        act()
    return raised.value.code


def test_the_engine_reads_the_answer_that_was_stored(tenant, connection):
    """Through the store's own port: side, and the values the person was shown."""
    conflict = field_question(tenant, connection)

    with tenant.context():
        answer_conflict(conflict.pk, side=Side.CRM, actor="user:1")

    with DjangoStore(tenant.id, connection.pk, worker="test").unit() as unit:
        (view,) = unit.due_links("contacts", "", 10)
    answer = view.resolutions["m"]
    assert (answer.side, answer.shown_app, answer.shown_crm) == (Side.CRM, "Ann", "Anne")


def test_a_typed_value_is_an_answer_to_a_field(tenant, connection):
    """Neither side's value has to stay."""
    conflict = field_question(tenant, connection)

    with tenant.context():
        answer_conflict(conflict.pk, value="Annie", typed=True, actor="user:1")

    with DjangoStore(tenant.id, connection.pk, worker="test").unit() as unit:
        (view,) = unit.due_links("contacts", "", 10)
    assert (view.resolutions["m"].side, view.resolutions["m"].value) == (None, "Annie")


def test_a_chosen_pair_becomes_a_link_without_base(tenant, connection):
    """The next run compares the fields; the question is closed and the ledger says who decided."""
    conflict, first, _second = match_question(tenant, connection)

    with tenant.context():
        link_pair(conflict.pk, contact_id=str(first.pk), remote_id="7", actor="user:1")

        link = CrmSyncState.objects.get()
        assert (link.contact_id, link.crm_record_id, link.state, link.base) == (first.pk, "7", "live", {})
        assert (link.due, link.observed) == (True, {"email": "info@example.com"})
        assert CrmObservation.objects.count() == 0
        entry = CrmLedgerEntry.objects.get()
        assert (entry.kind, entry.rule, entry.actor) == ("link", "chosen", "user:1")
        closed = CrmConflict.objects.get(pk=conflict.pk)
        assert (closed.status, closed.closed_reason, closed.answered_by) == ("closed", "answered", "user:1")


def test_a_contact_that_waited_for_its_record_is_paired_in_its_own_row(tenant, connection):
    """A contact has one link of a type, so the row that waited becomes the pair."""
    conflict, first, _second = match_question(tenant, connection)
    with tenant.context():
        waiting = CrmSyncState.objects.create(
            connection=connection,
            contact=first,
            crm_record_type="contacts",
            state="pending",
            error_code="match.ambiguous",
        )

        link_pair(conflict.pk, contact_id=str(first.pk), remote_id="7", actor="user:1")

        link = CrmSyncState.objects.get()
        assert (link.pk, link.state, link.error_code) == (waiting.pk, "live", "")


def test_a_partner_that_is_taken_is_refused(tenant, connection):
    """Nobody is paired twice, and the question stays."""
    conflict, first, second = match_question(tenant, connection)
    with tenant.context():
        CrmSyncState.objects.create(
            connection=connection, contact=second, crm_record_type="contacts", crm_record_id="7"
        )

    code = refusal(tenant, lambda: link_pair(conflict.pk, contact_id=str(first.pk), remote_id="7", actor="user:1"))

    assert code == "match.taken"
    with tenant.context():
        assert CrmSyncState.objects.count() == 1
        assert CrmObservation.objects.count() == 1
        assert CrmConflict.objects.get(pk=conflict.pk).status == "open"


def test_a_record_that_is_ignored_is_left_out(tenant, connection):
    """No later run looks for its partner."""
    conflict, *_contacts = match_question(tenant, connection)

    with tenant.context():
        ignore_match(conflict.pk, actor="user:1")

        assert CrmObservation.objects.get().excluded_by == "user:1"
        assert CrmConflict.objects.get(pk=conflict.pk).status == "closed"


def test_a_contact_that_is_ignored_is_left_out(tenant, connection):
    """Its place is kept by a row that is excluded."""
    with tenant.context():
        contact = Contact.objects.create(first_name="Ann")
    conflict = question(
        tenant, connection, kind="match", contact=contact, record_type="contacts", candidates=["record:7", "record:8"]
    )
    assert candidates_of(conflict).records == ("7", "8")

    with tenant.context():
        ignore_match(conflict.pk, actor="user:1")

        link = CrmSyncState.objects.get()
        assert (link.contact_id, link.state, link.excluded_by) == (contact.pk, "pending", "user:1")
    with DjangoStore(tenant.id, connection.pk, worker="test").unit() as unit:
        assert unit.unpaired_contacts("contacts", "", 10, recheck_matches=True) == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (lambda match, field: answer_conflict(match, side=Side.APP, actor="u"), "conflict.answer"),
        (lambda match, field: answer_conflict(field, actor="u"), "conflict.answer"),
        (lambda match, field: answer_conflict(uuid.uuid4(), side=Side.APP, actor="u"), "conflict.unknown"),
        (
            lambda match, field: link_pair(match, contact_id=str(uuid.uuid4()), remote_id="7", actor="u"),
            "conflict.answer",
        ),
        (lambda match, field: link_pair(field, contact_id="", remote_id="7", actor="u"), "conflict.answer"),
        (lambda match, field: ignore_match(field, actor="u"), "conflict.answer"),
        (lambda match, field: create_anyway(field, actor="u"), "conflict.answer"),
        (lambda match, field: create_anyway(uuid.uuid4(), actor="u"), "conflict.unknown"),
    ],
)
def test_an_answer_that_does_not_fit_changes_nothing(tenant, connection, wrong, code):
    """Refused by name, and both questions are as open as before."""
    match, *_contacts = match_question(tenant, connection)
    field = field_question(tenant, connection)

    assert refusal(tenant, lambda: wrong(match.pk, field.pk)) == code
    with tenant.context():
        assert set(CrmConflict.objects.values_list("status", "resolution")) == {("open", None)}
        assert CrmLedgerEntry.objects.count() == 0


def test_nothing_is_made_on_a_side_where_the_rules_make_nothing(tenant, connection):
    conflict, *_contacts = match_question(tenant, connection)
    with tenant.context():
        CrmConnection.objects.update(create_in_app=False)

    assert refusal(tenant, lambda: create_anyway(conflict.pk, actor="user:1")) == "conflict.answer"
    with tenant.context():
        assert CrmConflict.objects.get().status == "open"


def test_nothing_is_made_for_a_contact_that_is_gone(tenant, connection):
    with tenant.context():
        gone = Contact.objects.create(first_name="Ann", deleted_at="2026-01-01T00:00:00Z")
        conflict = CrmConflict.objects.create(
            connection=connection, kind="match", contact=gone, record_type="contacts", candidates=["record:7"]
        )

    assert refusal(tenant, lambda: create_anyway(conflict.pk, actor="user:1")) == "conflict.answer"


def test_a_closed_question_takes_no_answer(tenant, connection):
    """Two people who answer at once: the second is told."""
    conflict, *_contacts = match_question(tenant, connection)
    with tenant.context():
        ignore_match(conflict.pk, actor="user:1")

    assert refusal(tenant, lambda: ignore_match(conflict.pk, actor="user:2")) == "conflict.settled"
    with tenant.context():
        assert CrmConflict.objects.get().answered_by == "user:1"


def test_another_organizations_conflict_is_unknown(tenant, other, connection):
    """As unknown as one that never was."""
    conflict = field_question(tenant, connection)

    assert refusal(other, lambda: answer_conflict(conflict.pk, side=Side.APP, actor="u")) == "conflict.unknown"


def merge_question(tenant, connection):
    """The CRM made one record of two; here they are two contacts."""
    with tenant.context():
        first = Contact.objects.create(first_name="Ann", email="ann@example.com")
        second = Contact.objects.create(first_name="Annie", phone="+31612345678")
    names = [f"contact:{each.pk}" for each in (first, second)]
    asked = question(tenant, connection, kind="merge", contact=first, remote_id="9", candidates=names)
    return asked, first, second


def test_a_merge_is_answered_by_merging_into_the_contact_that_is_chosen(tenant, connection):
    """At once: the other points to it, and what it lacked it has from the other. Answered once."""
    asked, first, second = merge_question(tenant, connection)
    with tenant.context():
        merge_named(asked.pk, into=str(second.pk), actor="user:1")
        assert Contact.objects.get(pk=first.pk).merged_into_id == second.pk
        goes_on = Contact.objects.get(pk=second.pk)
        assert (goes_on.first_name, goes_on.email) == ("Annie", "ann@example.com")
        assert CrmConflict.objects.get(pk=asked.pk).status == "closed"
        with pytest.raises(RefusedError) as refused:
            merge_named(asked.pk, into=str(first.pk), actor="user:1")
    assert refused.value.code == "conflict.settled"


def test_a_merge_may_be_left_as_it_is_and_has_no_sides(tenant, connection):
    """Nobody is merged; a side or a contact that it does not name is no answer, and changes nothing."""
    asked, first, second = merge_question(tenant, connection)
    with tenant.context():
        for wrong in (
            lambda: answer_conflict(asked.pk, actor="user:1", side=Side.CRM),
            lambda: merge_named(asked.pk, into=str(uuid.uuid4()), actor="user:1"),
        ):
            with pytest.raises(RefusedError) as refused:
                wrong()
            assert refused.value.code == "conflict.answer"
        ignore_match(asked.pk, actor="user:1")
        assert Contact.objects.live().filter(pk__in=[first.pk, second.pk]).count() == 2
        assert CrmConflict.objects.get(pk=asked.pk).status == "closed"
