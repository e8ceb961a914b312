"""The people of the demo: who is in ADSapp, who is in HubSpot, and who is in both under another spelling.

Everything is drawn from one seed, and every kind of person is made in a fixed number: what a first
sync has to find is known before the first request is sent.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

FIRST = [
    "Anna",
    "Bram",
    "Chloé",
    "Daan",
    "Eva",
    "Finn",
    "Gijs",
    "Hanna",
    "Ilse",
    "Joris",
    "Kees",
    "Lotte",
    "Mila",
    "Noor",
    "Otto",
    "Pim",
    "Quinten",
    "Roos",
    "Sven",
    "Tess",
    "Ursula",
    "Vera",
    "Wout",
    "Xander",
    "Yara",
    "Zoë",
    "José",
    "Łukasz",
    "Søren",
    "Jürgen",
    "Ingrid",
    "Françoise",
    "Renée",
    "Björn",
    "Siân",
    "Mönika",
]
LAST = [
    "de Vries",
    "Jansen",
    "van den Berg",
    "Bakker",
    "Visser",
    "Smit",
    "Meijer",
    "Mulder",
    "Bos",
    "Vos",
    "Peters",
    "Hendriks",
    "Dekker",
    "Brouwer",
    "Müller",
    "Öztürk",
    "García",
    "Nuñez",
    "O'Brien",
    "Lindström",
    "Kowalski",
    "Dvořák",
    "Papadopoulos",
    "Ångström",
    "Fernández",
    "Groß",
    "Çelik",
    "Nielsen",
]
UNUSUAL = (
    "محمد عبد الله",
    "שרה כהן",
    "王小明",
    "さくら 田中",
    "Анна Каренина",
    "Σωκράτης Παπαδόπουλος",
    "Party Planner 🎉",
    "Wolfeschlegelsteinhausenbergerdorff " * 3,
    "=SUM(A1:A9)",
    "<script>alert(1)</script>",
)
CITIES = [
    "Amsterdam",
    "Utrecht",
    "Rotterdam",
    "Groningen",
    "Maastricht",
    "Zwolle",
    "Arnhem",
    "Leiden",
    "Delft",
    "Breda",
]
COMPANIES = ["Kaas & Co", "Fietsfabriek", "Molen BV", "Tulp Media", "Delta Works", "Polder Labs", "Haven Group"]
JOBS = ["Buyer", "Engineer", "Owner", "Planner", "Designer", "Controller", "Support lead"]
TIERS = ("gold", "silver", "bronze")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many of each kind. The defaults make 2,000 on each side, 1,200 of them the same people."""

    same: int = 1200
    """In both, of which (the first ones):"""
    app_lacks_phone: int = 60
    crm_lacks_city: int = 40
    other_last_name: int = 60
    """The two sides spell the last name differently in more than form: a person has to say."""
    by_phone_only: int = 40
    """HubSpot has no e-mail address for them."""
    mailboxes: int = 20
    per_mailbox: int = 3
    """Contacts of ADSapp that share one address each."""
    app_only: int = 740
    crm_doubles: int = 30
    """Records of HubSpot without e-mail address, in pairs with one phone number."""
    crm_only: int = 770

    @property
    def app(self) -> int:
        return self.same + self.mailboxes * self.per_mailbox + self.app_only

    @property
    def crm(self) -> int:
        return self.same + self.crm_doubles + self.crm_only


def scaled(count: int) -> Sizes:
    """The same mixture with ``count`` (at least 100) on each side."""
    share = count / 2000
    same = round(1200 * share)
    mailboxes, doubles = max(1, round(20 * share)), 2 * max(1, round(15 * share))
    return Sizes(
        same=same,
        app_lacks_phone=round(60 * share),
        crm_lacks_city=round(40 * share),
        other_last_name=round(60 * share),
        by_phone_only=round(40 * share),
        mailboxes=mailboxes,
        per_mailbox=3,
        app_only=count - same - mailboxes * 3,
        crm_doubles=doubles,
        crm_only=count - same - doubles,
    )


@dataclass(slots=True)
class People:
    """Rows of ADSapp by its field names, records of HubSpot by property."""

    sizes: Sizes
    app: list[dict[str, str]] = field(default_factory=list)
    crm: list[dict[str, str]] = field(default_factory=list)


def draw(seed: int, sizes: Sizes | None = None) -> People:
    """All people of one seed, in a shuffled order on both sides."""
    people = People(sizes or Sizes())
    dice = random.Random(seed)
    numbers = _phone_numbers(dice)
    for index in range(people.sizes.same):
        _add_same(people, index, dice, next(numbers))
    for box in range(people.sizes.mailboxes):
        for _ in range(people.sizes.per_mailbox):
            row = _person(dice, f"mailbox-{box}", next(numbers))
            people.app.append({**row, "email": f"info{box}@mailbox.example"})
    for index in range(people.sizes.app_only):
        people.app.append(_person(dice, f"app-{index}", next(numbers), unusual=index))
    for _ in range(people.sizes.crm_doubles // 2):
        number = next(numbers)
        for _ in range(2):
            row = _person(dice, "double", number)
            people.crm.append({**_as_properties(row, dice), "email": ""})
    for index in range(people.sizes.crm_only):
        people.crm.append(_as_properties(_person(dice, f"crm-{index}", next(numbers), unusual=index), dice))
    dice.shuffle(people.app)
    dice.shuffle(people.crm)
    return people


def is_unusual(row: Mapping[str, str]) -> bool:
    return row["lastName"] in {name.strip() for name in UNUSUAL}


def draw_beside(seed: int, key: str, known: Sequence[Mapping[str, str]], count: int) -> list[dict[str, str]]:
    """People of another CRM in ADSapp's field names: those ``known``, respelled, and others up to ``count``."""
    dice = random.Random(f"{seed}:{key}")
    numbers = _phone_numbers(dice)
    rows = [{**row, "email": row["email"].upper()} for row in known]
    rows += [_person(dice, f"{key}-{index}", next(numbers)) for index in range(count - len(known))]
    dice.shuffle(rows)
    return rows


def _add_same(people: People, index: int, dice: random.Random, number: str) -> None:
    """One person on both sides, in two spellings that mean the same, but for the kinds counted in ``Sizes``."""
    sizes = people.sizes
    row = _person(dice, f"both-{index}", number)
    record = _respelled(_as_properties(row, dice), dice)
    position = index
    if position < sizes.app_lacks_phone:
        row["phone"] = ""
    elif (position := position - sizes.app_lacks_phone) < sizes.crm_lacks_city:
        record["city"] = ""
    elif (position := position - sizes.crm_lacks_city) < sizes.other_last_name:
        record["lastname"] = f"{record['lastname']}-Smit"
    elif (position := position - sizes.other_last_name) < sizes.by_phone_only:
        record["email"] = ""
    people.app.append(row)
    people.crm.append(record)


def _person(dice: random.Random, key: str, number: str, *, unusual: int = -1) -> dict[str, str]:
    first, last = dice.choice(FIRST), dice.choice(LAST)
    if 0 <= unusual < len(UNUSUAL):
        last = UNUSUAL[unusual].strip()
    return {
        "firstName": first,
        "lastName": last,
        "email": f"{key}@people.example",
        "phone": number,
        "company": dice.choice(COMPANIES) if dice.random() < 0.7 else "",
        "jobTitle": dice.choice(JOBS) if dice.random() < 0.6 else "",
        "city": dice.choice(CITIES),
        "country": "Netherlands",
        "custom.tier": dice.choice(TIERS) if dice.random() < 0.5 else "",
    }


def _as_properties(row: dict[str, str], dice: random.Random) -> dict[str, str]:
    del dice
    return {
        "firstname": row["firstName"],
        "lastname": row["lastName"],
        "email": row["email"],
        "phone": row["phone"],
        "company": row["company"],
        "jobtitle": row["jobTitle"],
        "city": row["city"],
        "country": row["country"],
        "tier": row["custom.tier"],
    }


def _respelled(record: dict[str, str], dice: random.Random) -> dict[str, str]:
    """Another form of the same values: case of the address, form of the number, decomposed accents, blanks."""
    local, _, domain = record["email"].partition("@")
    number = record["phone"]
    forms = (
        number,
        f"0{number[3:5]}-{number[5:]}",
        f"+31 (0){number[3:5]} {number[5:8]} {number[8:]}",
        f"0031{number[3:]}",
    )
    return {
        **record,
        "email": f"{local.title()}@{domain.upper()}",
        "phone": dice.choice(forms),
        "firstname": unicodedata.normalize("NFD", record["firstname"]),
        "city": f"  {record['city']} ",
    }


def _phone_numbers(dice: random.Random) -> Iterator[str]:
    """Dutch mobile numbers in E.164, each once."""
    seen: set[int] = set()
    while True:
        number = dice.randrange(10_000_000, 99_999_999)
        if number not in seen:
            seen.add(number)
            yield f"+316{number}"
