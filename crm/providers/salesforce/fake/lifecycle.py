"""What people do to whole records in Salesforce's pages: merge, convert a lead, take back from the recycle bin.

Pages: SOAP API Developer Guide, "merge()", "convertLead()", "undelete()"
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from crm.providers.salesforce.fake import answers
from crm.providers.salesforce.fake.answers import Json
from crm.providers.salesforce.fake.stamps import moment
from crm.providers.salesforce.fake.state import Actor, Record, State, Values
from crm.providers.salesforce.fake.writes import WriteOptions, Writer

MAX_LOSERS: Final = 2
_FROM_LEAD: Final = {
    "FirstName": "FirstName",
    "LastName": "LastName",
    "Salutation": "Salutation",
    "Title": "Title",
    "Email": "Email",
    "Phone": "Phone",
    "MobilePhone": "MobilePhone",
    "Fax": "Fax",
    "Description": "Description",
    "LeadSource": "LeadSource",
    "Street": "MailingStreet",
    "City": "MailingCity",
    "State": "MailingState",
    "PostalCode": "MailingPostalCode",
    "Country": "MailingCountry",
    "StateCode": "MailingStateCode",
    "CountryCode": "MailingCountryCode",
    "HasOptedOutOfEmail": "HasOptedOutOfEmail",
    "HasOptedOutOfFax": "HasOptedOutOfFax",
    "DoNotCall": "DoNotCall",
}


class Lifecycle:
    def __init__(self, state: State, writer: Writer) -> None:
        self._state = state
        self._writer = writer

    def merge(self, master: Record, losers: list[Record], chosen: Values, options: WriteOptions) -> None:
        """Losers go to the recycle bin with ``MasterRecordId``; what pointed at them points at the master.

        The master's values win; ``chosen`` are those that the person picked from a loser. The winner gets an update
        even when no value of it changes.
        """
        kind = self._state.schema.types[master.kind]
        if not kind.mergeable:
            raise answers.bad_admin_input(f"{kind.name} cannot be merged")
        if not losers or len(losers) > MAX_LOSERS:
            raise answers.bad_admin_input("ids: one or two records to merge into the master")
        everyone = [master, *losers]
        if len({each.record_id for each in everyone}) < len(everyone):
            raise answers.bad_admin_input("ids: a record cannot be merged with itself")
        for each in everyone:
            if each.is_deleted or each.kind != master.kind:
                raise answers.bad_admin_input(f"ids: {each.record_id} is no live {kind.name}")
        with self._state.transaction():
            for loser in losers:
                self._writer.store(loser, {"IsDeleted": True, "MasterRecordId": master.record_id}, options)
                self._state.note("merge", loser, options.actor, {}, masterId=master.record_id)
                self._repoint(loser.record_id, master.record_id, options)
            changes = self._writer.store(master, chosen, options)
            self._state.note("merge_master", master, options.actor, changes)

    def convert(self, lead: Record, options: WriteOptions, *, wants_opportunity: bool, asked: Json) -> Json:
        """A contact and an account (given or made), an opportunity on request; the lead stays, read-only."""
        if lead.kind != "Lead" or lead.is_deleted or lead.values.get("IsConverted"):
            raise answers.bad_admin_input("leadId: a live lead that is not converted yet")
        types = self._state.schema.types
        inner = replace(options, actor=Actor("ui", options.actor.user_id), auto_assign=False)
        with self._state.transaction():
            account = self._state.find(str(asked.get("accountId") or ""))
            if account is None:
                account = self._writer.create(types["Account"], {"Name": lead.values.get("Company", "?")}, inner)
            contact = self._state.find(str(asked.get("contactId") or ""))
            if contact is None:
                raw: dict[str, Any] = {
                    name: lead.values[source]
                    for source, name in _FROM_LEAD.items()
                    if lead.values.get(source) is not None and name in types["Contact"].fields
                }
                contact = self._writer.create(types["Contact"], {**raw, "AccountId": account.record_id}, inner)
            made = {"ConvertedAccountId": account.record_id, "ConvertedContactId": contact.record_id}
            if wants_opportunity:
                given: dict[str, Any] = {
                    "Name": f"{account.values['Name']}-",
                    "StageName": "Prospecting",
                    "CloseDate": "2026-12-31",
                    "AccountId": account.record_id,
                }
                opportunity = self._writer.create(types["Opportunity"], given, inner)
                role: dict[str, Any] = {
                    "OpportunityId": opportunity.record_id,
                    "ContactId": contact.record_id,
                    "IsPrimary": True,
                }
                self._writer.create(types["OpportunityContactRole"], role, inner)
                made["ConvertedOpportunityId"] = opportunity.record_id
            given = {
                **made,
                "IsConverted": True,
                "Status": str(asked.get("status") or "Closed - Converted"),
                "ConvertedDate": _day(self._state),
                "IsUnreadByOwner": False,
            }
            changes = self._writer.store(lead, given, options)
            self._state.note("convert", lead, options.actor, changes, contactId=contact.record_id)
            self._repoint(lead.record_id, contact.record_id, options, only=("Task",))
        return made

    def _repoint(self, old_id: str, new_id: str, options: WriteOptions, only: tuple[str, ...] = ()) -> None:
        """Children follow to the other record; their owners hear nothing of it."""
        for kind in self._state.schema.types.values():
            if only and kind.name not in only:
                continue
            names = [
                field.name
                for field in kind.fields.values()
                if field.type == "reference"
                and field.name != "MasterRecordId"
                and not field.name.startswith("Converted")
            ]
            for record in list(self._state.table(kind.name).records.values()):
                given = {name: new_id for name in names if record.values.get(name) == old_id}
                if given and not record.is_deleted:
                    self._writer.store(record, given, options)


def _day(state: State) -> str:
    return f"{moment(state.clock.now_ms()):%Y-%m-%d}"
