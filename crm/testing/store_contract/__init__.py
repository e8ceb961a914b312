"""What every ``SyncStore`` promises, as one suite: inherit ``StoreContract`` and say how a world is made.

The tests use nothing but the port, and the verbs of ``StoreWorld`` for what happens outside the engine.
"""

from __future__ import annotations

from crm.testing.store_contract.contacts import ContactContract
from crm.testing.store_contract.intents import IntentContract
from crm.testing.store_contract.links import LinkContract
from crm.testing.store_contract.observations import ObservationContract
from crm.testing.store_contract.pairing import PairingContract
from crm.testing.store_contract.plans import PlanContract
from crm.testing.store_contract.questions import QuestionContract
from crm.testing.store_contract.work import WorkContract
from crm.testing.store_contract.world import StoreWorld

__all__ = ["StoreContract", "StoreWorld"]


class StoreContract(
    WorkContract,
    IntentContract,
    ContactContract,
    LinkContract,
    ObservationContract,
    PairingContract,
    PlanContract,
    QuestionContract,
):
    """All of it. Inherit, and implement ``make_world``."""
