"""What people do, on either side: every value they enter is new, so that it can be told where it went."""

from __future__ import annotations

import random
from collections.abc import Callable

from crm.model import ContactState, Direction, LinkState, RemoteState, Strategy, Value
from crm.testing.adversary_nature import TIERS
from tests.harness.simulate.world import Account, World

PAIRS = {
    "firstName": "firstname",
    "lastName": "lastname",
    "email": "email",
    "phone": "phone",
    "company": "company",
    "custom.score": "score",
    "custom.active": "active",
    "custom.tier": "tier",
    "tags": "labels",
    "emailOptOut": "optout",
}
_NAMES = ("Ada", "Björk", "Chloé", "Dmitri", "Elif", "Fatima", "李", "Noël")


def draw_value(world: World, draw: random.Random, app_field: str, *, may_refuse: bool) -> Value:
    """A value nobody entered before, where the kind of field allows that; a blank now and then."""
    world.edits += 1
    number = world.edits
    if draw.random() < 0.1 and app_field not in {"lastName", "emailOptOut", "custom.active"}:
        return None
    made = _TYPED.get(app_field)
    return made(draw, number) if made is not None else _text(world, draw, app_field, number, may_refuse=may_refuse)


def _email(draw: random.Random, number: int) -> Value:
    if draw.random() < 0.06:
        return f"info{number % 2}@shared.example"  # one address of several people
    text = f"p{number}@x{number % 3}.example"
    return text.upper() if draw.random() < 0.2 else text


def _phone(draw: random.Random, number: int) -> Value:
    digits = f"{10_000_000 + number}"
    return draw.choice((f"+316{digits}", f"06 {digits[:4]} {digits[4:]}", f"+31 6 {digits}"))


def _score(draw: random.Random, number: int) -> Value:
    return draw.choice((number, number + 0.5, number + 0.125, 100 + number))


def _yes_or_no(draw: random.Random, _: int) -> Value:
    return draw.random() < 0.5


def _tier(draw: random.Random, _: int) -> Value:
    return draw.choice(TIERS)


def _tags(draw: random.Random, number: int) -> Value:
    return tuple(f"t{number}-{index}" for index in range(draw.randint(1, 3)))


_TYPED: dict[str, Callable[[random.Random, int], Value]] = {
    "email": _email,
    "phone": _phone,
    "custom.score": _score,
    "custom.active": _yes_or_no,
    "emailOptOut": _yes_or_no,
    "custom.tier": _tier,
    "tags": _tags,
}


def _text(world: World, draw: random.Random, app_field: str, number: int, *, may_refuse: bool) -> Value:
    text = f"{draw.choice(_NAMES)} {world.stamp}{number}"
    roll = draw.random()
    if roll < 0.15:
        return f"  {text} "
    if roll < 0.25:
        return text.lower()
    if may_refuse and roll < 0.32:
        return text + "#" if app_field == "firstName" else text + "x" * 40
    return text


def person(world: World, draw: random.Random, *, fields: int = 6) -> dict[str, Value]:
    """Values of a new person by app field; always a last name."""
    chosen = ["lastName", *draw.sample([name for name in PAIRS if name != "lastName"], fields)]
    return {name: draw_value(world, draw, name, may_refuse=False) for name in chosen}


def as_record(values: dict[str, Value]) -> dict[str, Value]:
    return {PAIRS[name]: value for name, value in values.items()}


def _create_in_crm(account: Account, values: dict[str, Value]) -> str:
    return account.crm.user_creates(_without_taken(account, as_record(values), ""))


def _without_taken(account: Account, values: dict[str, Value], own_id: str) -> dict[str, Value]:
    """Where an address may stand in one record only, the CRM does not let people enter it twice."""
    email = values.get("email")
    if not (account.nature.unique_email and isinstance(email, str)):
        return values
    taken = any(
        record.values.get("email") == email.strip().lower() and record.remote_id != own_id
        for record in account.crm.live()
    )
    return {name: value for name, value in values.items() if name != "email"} if taken else values


def populate(world: World, draw: random.Random) -> None:
    """People known to one side, to the other, and to both in different spelling."""
    for _ in range(draw.randint(0, 3)):
        world.app.create_contact(person(world, draw), imported=draw.random() < 0.5)
    for account in world.accounts:
        for _ in range(draw.randint(0, 3)):
            _create_in_crm(account, person(world, draw))
    for _ in range(draw.randint(1, 4)):
        values = person(world, draw)
        values["email"] = f"both{world.edits}@x.example"
        world.app.create_contact(values, imported=draw.random() < 0.5)
        for account in world.accounts:
            if account is not world.accounts[0] and draw.random() < 0.4:
                continue
            if draw.random() < 0.5:
                other = draw.choice(list(PAIRS))
                if other != "email":
                    values[other] = draw_value(world, draw, other, may_refuse=False)
            _create_in_crm(account, values)
    if draw.random() < 0.25:
        _add_family(world, draw)


def _add_family(world: World, draw: random.Random) -> None:
    """One address of several people: which contact a record belongs to cannot be known."""
    members, address = draw.choice(((2, 1), (1, 2))), f"family{world.edits}@x.example"
    for _ in range(members[0]):
        world.app.create_contact({**person(world, draw), "email": address})
    for account in world.accounts:
        for _ in range(members[1]):
            _create_in_crm(account, {**person(world, draw), "email": address})


def act(world: World, draw: random.Random) -> None:
    """One deed of one user."""
    account, roll = draw.choice(world.accounts), draw.random()
    if roll < 0.42:
        _edit_in_app(world, draw)
    elif roll < 0.82:
        _edit_in_crm(account, draw)
    elif roll < 0.87:
        values = person(world, draw)
        world.say(f"user creates contact {world.app.create_contact(values)[:8]} {values}")
    elif roll < 0.92:
        values = person(world, draw)
        world.say(f"user creates record {_create_in_crm(account, values)} {values}")
    elif roll < 0.94:
        _delete_in_app(world, draw)
    elif roll < 0.96:
        _delete_in_crm(account, draw)
    elif roll < 0.98:
        _merge_in_crm(account, draw)
    else:
        _merge_in_app(world, draw)


def give_cause(account: Account, draw: random.Random, verb: str) -> None:
    """Somebody does in the app what makes the next run send this request; other verbs need no cause."""
    world = account.world
    contacts = sorted(contact.contact_id for contact in world.app.live())
    if verb in ("create", "find_by_markers"):
        values = person(world, draw)
        if not account.nature.marker_allowed:  # nothing but the other values tells who a lost create's record is
            values = {name: value for name, value in values.items() if name not in ("email", "phone")}
        world.say(f"user creates contact {world.app.create_contact(values)[:8]}")
    elif verb == "field_history":
        _edit_on_both_sides(account, draw)
    elif verb == "update":
        _edit_in_app(world, draw)
    elif verb == "delete" and len(contacts) > 3:
        contact_id = draw.choice(contacts)
        world.app.delete_contact(contact_id)
        world.say(f"user deletes contact {contact_id[:8]}")


def _edit_in_app(world: World, draw: random.Random) -> None:
    contacts = sorted(contact.contact_id for contact in world.app.live())
    if not contacts:
        return
    edit_contact(world, draw, draw.choice(contacts))


def edit_contact(world: World, draw: random.Random, contact_id: str) -> bool:
    """False where it does not live."""
    if all(contact.contact_id != contact_id for contact in world.app.live()):
        return False
    names = draw.sample(list(PAIRS), draw.choice((1, 1, 1, 2)))
    values = {name: draw_value(world, draw, name, may_refuse=True) for name in names}
    version = world.app.edit_contact(contact_id, values)
    world.say(f"user edits contact {contact_id[:8]} to v{version}: {values}")
    return True


def _edit_in_crm(account: Account, draw: random.Random) -> None:
    records = sorted(record.remote_id for record in account.crm.live())
    if not records:
        return
    edit_record(account, draw, draw.choice(records))


def edit_record(account: Account, draw: random.Random, remote_id: str) -> bool:
    """False where it does not live."""
    if all(record.remote_id != remote_id for record in account.crm.live()):
        return False
    names = draw.sample(list(PAIRS), draw.choice((1, 1, 1, 2)))
    values = {PAIRS[name]: draw_value(account.world, draw, name, may_refuse=False) for name in names}
    account.crm.user_edits(remote_id, _without_taken(account, values, remote_id))
    account.world.say(f"user edits record {remote_id}: {values}")
    return True


def _edit_on_both_sides(account: Account, draw: random.Random) -> None:
    """One field of one pair, where the newest edit is to win: the CRM is asked for its history."""
    world, strategy = account.world, account.book.policy.strategy
    names = [
        field_map.app_field
        for field_map in account.maps
        if (field_map.strategy or strategy) is Strategy.NEWEST_WINS
        and field_map.direction is Direction.BIDIRECTIONAL
        and field_map.app_field in ("firstName", "lastName", "company")
        and field_map.remote_field not in account.crm.hidden
    ]
    records = {record.remote_id for record in account.crm.live()}
    contacts = {contact.contact_id for contact in world.app.live()}
    pairs = [
        (link.contact_id, link.remote_id)
        for link in account.store.links()
        if link.state is LinkState.LIVE and link.remote_id in records and link.contact_id in contacts
    ]
    if not names or not pairs:
        _edit_in_app(world, draw)
        return
    name, (contact_id, remote_id) = draw.choice(names), draw.choice(sorted(pairs))
    values = [draw_value(world, draw, name, may_refuse=False) for _ in range(2)]
    world.say(f"user edits contact {contact_id[:8]}: {name} {values[0]}")
    world.app.edit_contact(contact_id, {name: values[0]})
    world.say(f"user edits record {remote_id}: {name} {values[1]}")
    account.crm.user_edits(remote_id, {PAIRS[name]: values[1]})


def _delete_in_app(world: World, draw: random.Random) -> None:
    gone = sorted(
        row.contact.contact_id for row in world.app.rows.values() if row.contact.state is ContactState.DELETED
    )
    if gone and draw.random() < 0.3:
        contact_id = draw.choice(gone)
        world.app.restore_contact(contact_id)
        world.say(f"user restores contact {contact_id[:8]}")
        return
    contacts = sorted(contact.contact_id for contact in world.app.live())
    if contacts:
        contact_id = draw.choice(contacts)
        world.app.delete_contact(contact_id)
        world.say(f"user deletes contact {contact_id[:8]}")


def _delete_in_crm(account: Account, draw: random.Random) -> None:
    gone = sorted(row.remote_id for row in account.crm.records.values() if row.state is RemoteState.ARCHIVED)
    if gone and draw.random() < 0.3:
        remote_id = draw.choice(gone)
        account.crm.user_undeletes(remote_id)
        account.world.say(f"user undeletes record {remote_id}")
        return
    records = sorted(record.remote_id for record in account.crm.live())
    if records:
        remote_id = draw.choice(records)
        account.crm.user_deletes(remote_id)
        account.world.say(f"user deletes record {remote_id}")


def _merge_in_crm(account: Account, draw: random.Random) -> None:
    records = sorted(record.remote_id for record in account.crm.live())
    if len(records) > 1:
        loser, winner = draw.sample(records, 2)
        survivor = account.crm.user_merges(loser, winner)
        account.world.say(f"user merges record {loser} into {winner}: {survivor}")
        if draw.random() < 0.25:
            account.crm.user_deletes(survivor)
            account.world.say(f"user deletes record {survivor}")


def _merge_in_app(world: World, draw: random.Random) -> None:
    contacts = sorted(contact.contact_id for contact in world.app.live())
    if len(contacts) > 1:
        loser, winner = draw.sample(contacts, 2)
        world.app.merge_contacts(loser, winner)
        world.say(f"user merges contact {loser[:8]} into {winner[:8]}")
