"""A connection's row becomes rules, a connector and a store."""

from __future__ import annotations

import pytest

from adsapp_crm import wiring
from adsapp_crm.models import CrmConnection, CrmFieldMapping
from adsapp_crm.storage import DjangoStore, codec
from crm.errors import AuthorizationExpiredError, ConfigurationError
from crm.http.limits import Priority, Scope
from crm.model import ContactWrite, DeletionPolicy, Direction, DriftRule, FieldDefinition, Mode, Policy, Strategy
from crm.ports import Turn
from crm.registry import provider

pytestmark = pytest.mark.django_db(transaction=True)

FIELDS = (
    FieldDefinition("firstname", "First name", "name", "string"),
    FieldDefinition("createdate", "Created", "datetime", "datetime", writable=False),
)


@pytest.fixture
def connection(tenant):
    with tenant.context():
        made = CrmConnection(
            crm_type="hubspot",
            remote_account_id="77",
            schema={"contacts": {"fields": [codec.encode(each) for each in FIELDS]}},
        )
        made.organization_id = tenant.id
        made.seal_credentials({"token": "a-token"})
        made.save()
        for app_field, crm_field in (("firstName", "firstname"), ("notes", "createdate"), ("city", "gone")):
            CrmFieldMapping.objects.create(
                connection=made, record_type="contacts", adsapp_field=app_field, crm_field=crm_field
            )
    return made


def test_a_row_with_its_defaults_is_the_default_policy(connection):
    """The columns' defaults and the core's are the same rules."""
    assert wiring.policy_of(connection) == Policy()


def test_every_rule_column_reaches_the_policy(connection):
    rules = {
        "strategy": "manual",
        "tie_rule": "crm_wins",
        "clock_skew_seconds": 5.0,
        "on_app_deleted": "archive",
        "on_crm_deleted": "delete",
        "drift": "write_back",
        "create_in_crm": False,
        "create_in_app": False,
        "fight_limit": 9,
        "max_share_deleted": 0.5,
        "max_count_deleted": 6,
        "max_share_created": 0.6,
        "max_count_created": 7,
    }
    for name, value in rules.items():
        setattr(connection, name, value)
    assert wiring.policy_of(connection) == Policy(
        Strategy.MANUAL,
        Strategy.CRM_WINS,
        5.0,
        DeletionPolicy.ARCHIVE,
        DeletionPolicy.DELETE,
        DriftRule.WRITE_BACK,
        create_in_crm=False,
        create_in_app=False,
        fight_limit=9,
        max_share_deleted=0.5,
        max_count_deleted=6,
        max_share_created=0.6,
        max_count_created=7,
    )


def test_mappings_that_fit_the_description_work_and_the_others_are_told(connection):
    """A read-only field and one that the CRM lacks are named with their codes; the third row is built."""
    assembled = wiring.assemble(connection, lease=None, worker="one")
    (book,) = assembled.ports.books.values()
    assert [(each.app_field, each.remote_field, each.direction) for each in book.maps] == [
        ("firstName", "firstname", Direction.BIDIRECTIONAL)
    ]
    assert sorted(each.code for each in assembled.broken) == ["field.missing", "field.readonly"]
    assert {each.region for each in book.maps} == {"NL"}
    assert (assembled.ports.mode, assembled.ports.create_type) == (Mode.SYNC, "contacts")
    store = assembled.ports.store
    assert isinstance(store, DjangoStore)
    assert (store.organization_id, store.connection_id) == (str(connection.organization_id), str(connection.pk))


def test_a_changed_rule_or_mapping_changes_the_digest(connection, tenant):
    """An approved line does not outlive the rules that it was made by; the same rules are the same digest."""

    def digest():
        return wiring.assemble(connection, lease=None, worker="one").ports.books["contacts"].digest

    first = digest()
    assert digest() == first
    connection.strategy = "manual"
    second = digest()
    connection.strategy = "newest_wins"
    with tenant.context():
        CrmFieldMapping.objects.filter(adsapp_field="firstName").update(direction="to_crm")
    assert len({first, second, digest()}) == 3


def test_a_connection_of_no_known_crm_or_without_token_is_refused(connection):
    connection.seal_credentials(None)
    with pytest.raises(AuthorizationExpiredError):
        wiring.connector_of(connection)
    connection.crm_type = "siebel"
    with pytest.raises(ConfigurationError) as caught:
        wiring.connector_of(connection)
    assert caught.value.code == "config.provider_unknown"


def test_a_host_that_is_not_on_the_list_gets_no_token(connection, settings):
    """An address outside the provider's domains is refused before anything is sent."""
    settings.CRM_PROVIDERS = {"hubspot": {"api_base": "https://evil.example"}}
    settings.CRM_EXTRA_HOSTS = ()
    with pytest.raises(ConfigurationError):
        wiring.connector_of(connection)


def test_a_connections_own_settings_reach_its_connector_and_addresses_do_not(connection):
    """Beside what the installation says; a value that the setting cannot have is none."""
    connection.settings = {"crm": {"api_version": "2026-03", "api_base": "https://evil.example"}}
    assert wiring.own_settings(connection) == {"api_version": "2026-03"}
    connection.settings = {"crm": {"api_version": "v0"}}
    assert (wiring.own_settings(connection), wiring.settings_in_force(connection)) == ({}, {"api_version": "v3"})


def test_a_connection_that_is_polite_takes_no_more_than_it_said(connection):
    """A window of the connection's own, on top of the CRM's; the provider's usual is no cap."""
    connection.crm_type = "salesforce"
    for said, expected in (("5", [5]), ("100", []), ("", [])):
        connection.settings = {"crm": {"requests_per_second": said}}
        limiter = wiring._limiter(connection, provider("salesforce"), "one", Priority.DELTA)
        windows = [each for each in limiter._bound.budgets if each.name == "politeness"]
        assert [each.limit for each in windows] == expected


def test_what_a_token_sent_before_its_account_was_known_counts_for_its_bursts(connection):
    draft = CrmConnection(crm_type="hubspot", organization_id=connection.organization_id)
    before, after = (
        wiring._limiter(each, provider("hubspot"), "digest", Priority.DELTA) for each in (draft, connection)
    )
    assert before._bound.keys[Scope.APP] == after._bound.keys[Scope.APP]
    other = wiring._limiter(draft, provider("hubspot"), "another", Priority.DELTA)
    assert other._bound.keys[Scope.APP] != after._bound.keys[Scope.APP]


def test_an_app_has_a_burst_on_each_account(connection):
    other = CrmConnection(crm_type="hubspot", organization_id=connection.organization_id, remote_account_id="78")
    one, two = (wiring._limiter(each, provider("hubspot"), "", Priority.DELTA) for each in (connection, other))
    assert one._bound.keys[Scope.APP] != two._bound.keys[Scope.APP]


def test_a_delay_between_requests_is_kept_whatever_the_budget_says():
    """The connection's own delay is a floor under the limiter's answer."""

    class Free:
        def acquire(self, budget, cost=1, turn=None):
            return Turn() if turn or budget == "free" else Turn(9.0)

    limiter = wiring.DelayedLimiter(Free(), 2.5)
    assert limiter.acquire("free").wait_seconds == 2.5
    assert limiter.acquire("busy").wait_seconds == 9.0
    assert limiter.acquire("free", 1, Turn(2.5, "waited")).wait_seconds == 0.0


def test_text_that_the_database_refuses_arrives_replaced(connection, tenant):
    """NUL and lone surrogates in a pulled value become U+FFFD on the contact; the page goes through."""
    store = DjangoStore(tenant.id, connection.pk, worker="one")
    contact_id = store.new_id()
    with store.unit() as unit:
        written = unit.write_contacts(
            [ContactWrite(contact_id, None, {"firstName": "A\x00da", "notes": "\ud800", "custom.k": "x\x00"})]
        )
        values = unit.contacts([contact_id])[contact_id].values
    assert written == {contact_id: 1}
    assert (values["firstName"], values["notes"], values["custom.k"]) == ("A\ufffdda", "\ufffd", "x\ufffd")
