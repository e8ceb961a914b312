"""What the attacks report: an attack that could not be played held nothing off."""

from __future__ import annotations

import pytest

from tests.harness.attack import contract
from tests.harness.attack.__main__ import summarized, verdict

HELD, GONE, AWAY = {"ok": True}, {"ok": False}, {"notRun": contract.MISSING}


@pytest.mark.parametrize(
    ("results", "ok", "said"),
    [
        ({"callbacks": HELD, "races": HELD}, True, ["2 of 2 held in 1.5 s"]),
        (
            {"callbacks": HELD, "contract": AWAY},
            False,
            ["1 of 2 held in 1.5 s", f"NOT RUN: contract ({contract.MISSING})"],
        ),
        (
            {"callbacks": GONE, "contract": AWAY},
            False,
            ["0 of 2 held in 1.5 s", "GAVE WAY: callbacks", f"NOT RUN: contract ({contract.MISSING})"],
        ),
    ],
)
def test_what_was_not_played_is_not_counted_as_held(results, ok, said):
    """It is named, with how to make it run."""
    summary = summarized(results, full=False, seconds=1.5)

    assert summary["ok"] is ok
    assert verdict(summary).splitlines() == said
    assert "uv pip install" in contract.MISSING


def test_without_its_package_the_attack_by_the_description_says_that_it_was_not_run(monkeypatch):
    monkeypatch.setattr(contract.importlib.util, "find_spec", lambda _name: None)

    assert contract.attack(1) == {"notRun": contract.MISSING}
