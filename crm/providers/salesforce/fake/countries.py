"""State and country picklists: a few countries with their codes, and states where Salesforce ships them.

Page: Salesforce Help, "State and Country/Territory Picklists Field-Syncing Logic"
"""

from __future__ import annotations

from typing import Any, Final

from crm.providers.salesforce.fake.answers import RowError

COUNTRIES: Final = {
    "AE": "United Arab Emirates",
    "AT": "Austria",
    "AU": "Australia",
    "BE": "Belgium",
    "BR": "Brazil",
    "CA": "Canada",
    "CH": "Switzerland",
    "CN": "China",
    "CZ": "Czech Republic",
    "DE": "Germany",
    "DK": "Denmark",
    "EG": "Egypt",
    "ES": "Spain",
    "FI": "Finland",
    "FR": "France",
    "GB": "United Kingdom",
    "GR": "Greece",
    "IE": "Ireland",
    "IL": "Israel",
    "IN": "India",
    "IT": "Italy",
    "JP": "Japan",
    "KR": "Korea, Republic of",
    "MA": "Morocco",
    "MX": "Mexico",
    "NL": "Netherlands",
    "NO": "Norway",
    "NZ": "New Zealand",
    "PL": "Poland",
    "PT": "Portugal",
    "RO": "Romania",
    "RU": "Russian Federation",
    "SE": "Sweden",
    "TR": "Turkey",
    "UA": "Ukraine",
    "US": "United States",
    "ZA": "South Africa",
}
STATES: Final = {
    "US": {
        "AZ": "Arizona",
        "CA": "California",
        "CO": "Colorado",
        "FL": "Florida",
        "IL": "Illinois",
        "MA": "Massachusetts",
        "MD": "Maryland",
        "NJ": "New Jersey",
        "NY": "New York",
        "OR": "Oregon",
        "PA": "Pennsylvania",
        "TX": "Texas",
        "VA": "Virginia",
        "WA": "Washington",
    },
    "CA": {"AB": "Alberta", "BC": "British Columbia", "ON": "Ontario", "QC": "Quebec"},
    "AU": {"NSW": "New South Wales", "QLD": "Queensland", "VIC": "Victoria", "WA": "Western Australia"},
    "BR": {"RJ": "Rio de Janeiro", "SP": "São Paulo"},
    "IN": {"DL": "Delhi", "KA": "Karnataka", "MH": "Maharashtra"},
    "IT": {"MI": "Milano", "RM": "Roma", "TO": "Torino"},
    "MX": {"JA": "Jalisco", "NL": "Nuevo León"},
}
_BAD_COUNTRY: Final = (
    "There's a problem with this country, even though it may appear correct. Please select a country/territory from "
    "the list of valid countries.: "
)
_BAD_STATE: Final = (
    "There's a problem with this state, even though it may appear correct. Please select a state from the list of "
    "valid states.: "
)


def state_codes() -> tuple[str, ...]:
    return tuple(dict.fromkeys(code for states in STATES.values() for code in states))


def settle(prefix: str, given: dict[str, Any], before: dict[str, Any]) -> None:
    """Bring the code and the text of one address into step, in ``given``. Raises FIELD_INTEGRITY_EXCEPTION.

    On create the code wins over the text; on update they must agree.
    """
    names = [f"{prefix}{part}" for part in ("Country", "CountryCode", "State", "StateCode")]
    if not any(name in given for name in names):
        return
    country, country_code, state, state_code = names
    code = _country(country, country_code, given, before)
    if code is None:
        _refuse_state_alone(state, state_code, given, before)
        return
    given[country], given[country_code] = COUNTRIES[code], code
    _state(state, state_code, code, given, before)


def _country(text: str, code: str, given: dict[str, Any], before: dict[str, Any]) -> str | None:
    by_text = None
    if given.get(text):
        by_text = next((key for key, name in COUNTRIES.items() if name.lower() == given[text].lower()), None)
    if given.get(code):
        found = str(given[code]).upper()
        if found not in COUNTRIES:
            message = f"The {code} field contains {given[code]}, which isn't an available country/territory."
            raise RowError("FIELD_INTEGRITY_EXCEPTION", message, [code])
        if before and given.get(text) and by_text != found:
            message = f"The existing country/territory doesn't recognize the country/territory value: {given[text]}"
            raise RowError("FIELD_INTEGRITY_EXCEPTION", message, [text])
        return found
    if given.get(text):
        if by_text is None:
            raise RowError("FIELD_INTEGRITY_EXCEPTION", _BAD_COUNTRY + text, [text])
        return by_text
    if text in given or code in given:
        given[text] = given[code] = None
        return None
    return before.get(code)


def _state(text: str, code: str, country: str, given: dict[str, Any], before: dict[str, Any]) -> None:
    states = STATES.get(country, {})
    if code in given or text in given:
        wanted_code, wanted = given.get(code), given.get(text)
    else:
        wanted_code, wanted = before.get(code), None
        if wanted_code in (None, *states):
            return
    if wanted_code is None and wanted is None:
        given[text] = given[code] = None
        return
    found = str(wanted_code).upper() if wanted_code else None
    by_text = next((key for key, name in states.items() if wanted and name.lower() == wanted.lower()), None)
    if found is None:
        found = by_text
    elif before and wanted and by_text != found:
        found = None
    if found is None or found not in states:
        raise RowError("FIELD_INTEGRITY_EXCEPTION", _BAD_STATE + text, [text if wanted else code])
    given[text], given[code] = states[found], found


def _refuse_state_alone(text: str, code: str, given: dict[str, Any], before: dict[str, Any]) -> None:
    if given.get(text) or given.get(code):
        message = f"A country/territory must be specified before specifying a state value for field: {text}"
        raise RowError("FIELD_INTEGRITY_EXCEPTION", message, [text])
    if before.get(code) and code not in given:
        given[text] = given[code] = None
