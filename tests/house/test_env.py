"""A setting is right, or the process stops and names the variable."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env

SECRET = "s3cret-pass-word"


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("YES", True), ("off", False), ("0", False), ("", True)]
)
def test_a_boolean_is_read_in_its_usual_spellings(monkeypatch, text, value):
    """Empty counts as unset."""
    monkeypatch.setenv("CRM_FLAG", text)

    assert env.env_bool("CRM_FLAG", default=True) is value


@pytest.mark.parametrize("text", ["maybe", "2", "tru", "True!"])
def test_another_word_is_no_boolean(monkeypatch, text):
    """A typing error does not silently mean false."""
    monkeypatch.setenv("CRM_FLAG", text)

    with pytest.raises(ImproperlyConfigured, match="CRM_FLAG must be true or false"):
        env.env_bool("CRM_FLAG", default=False)


@pytest.mark.parametrize("text", ["-1", "1.5", "ten", "1_000", "٣", "0"])
def test_a_number_is_whole_plain_and_large_enough(monkeypatch, text):
    """The message names the variable and the least value."""
    monkeypatch.setenv("CRM_DAYS", text)

    with pytest.raises(ImproperlyConfigured, match="CRM_DAYS must be a whole number of at least 1"):
        env.env_int("CRM_DAYS", default=30, minimum=1)


def test_a_required_variable_names_itself(monkeypatch):
    """Blank is as good as absent."""
    monkeypatch.setenv("CRM_NEEDED", "  ")

    with pytest.raises(ImproperlyConfigured, match=r"CRM_NEEDED is not set.*\.env\.example"):
        env.env_str("CRM_NEEDED")


def test_a_secret_may_come_from_a_file(monkeypatch, tmp_path):
    """The newline an editor leaves at the end is not part of it."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    monkeypatch.setenv("CRM_SECRET_FILE", str(tmp_path / "secret"))

    assert env.env_secret("CRM_SECRET") == SECRET


def test_a_secret_from_two_places_is_refused(monkeypatch, tmp_path):
    """Which of them counts would be a guess."""
    monkeypatch.setenv("CRM_SECRET", SECRET)
    monkeypatch.setenv("CRM_SECRET_FILE", str(tmp_path / "secret"))

    with pytest.raises(ImproperlyConfigured, match="CRM_SECRET and CRM_SECRET_FILE are both set"):
        env.env_secret("CRM_SECRET")


def test_a_secret_file_that_is_missing_names_its_variable(monkeypatch, tmp_path):
    """A mount that failed is not an empty secret."""
    monkeypatch.setenv("CRM_SECRET_FILE", str(tmp_path / "missing"))

    with pytest.raises(ImproperlyConfigured, match=r"CRM_SECRET_FILE names .* cannot be read"):
        env.env_secret("CRM_SECRET", "")


def test_no_message_repeats_a_secret(monkeypatch):
    """Settings errors end in logs."""
    monkeypatch.setenv("CRM_SECRET", SECRET)
    monkeypatch.setenv("CRM_ADDRESS", f"nonsense://role:{SECRET}@host/name")

    with pytest.raises(ImproperlyConfigured) as too_short:
        env.env_secret("CRM_SECRET", minimum_length=99)
    with pytest.raises(ImproperlyConfigured) as wrong_scheme:
        env.env_url("CRM_ADDRESS", schemes=("redis",))

    assert SECRET not in str(too_short.value) + str(wrong_scheme.value)


@pytest.mark.parametrize(
    "text", ["https://", "ftp://host", "host", "https://host:99999", "https://[::1", "https://h:0"]
)
def test_an_address_needs_its_scheme_and_host(monkeypatch, text):
    """A port that cannot be is refused too."""
    monkeypatch.setenv("CRM_ADDRESS", text)

    with pytest.raises(ImproperlyConfigured, match=r"CRM_ADDRESS must be an address of the form https://host\[:port\]"):
        env.env_url("CRM_ADDRESS", schemes=("https",))


def test_a_database_address_is_taken_apart():
    """Passwords are percent-decoded and parameters passed on."""
    url = "postgresql://role:p%40ss@db.example.com:6432/crm?sslmode=verify-full&sslrootcert=%2Fca.pem"

    assert {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "db.example.com",
        "PORT": "6432",
        "NAME": "crm",
        "USER": "role",
        "PASSWORD": "p@ss",
        "OPTIONS": {"sslmode": "verify-full", "sslrootcert": "/ca.pem"},
    } == env.postgres_settings("DATABASE_URL", url)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///db.sqlite3",
        "postgresql://role:x@host",
        "postgresql://host/crm",
        "postgresql://role:x@host/crm?pool=1",
    ],
)
def test_another_database_is_refused(url):
    """PostgreSQL only, with a role and a database, and without parameters nobody reads."""
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
        env.postgres_settings("DATABASE_URL", url)
