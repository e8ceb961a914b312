"""The settings as the type checker reads them: the real ones, on an environment of placeholders."""

from __future__ import annotations

import os

from tests.harness.environment import production_like

for _name, _value in production_like().items():
    os.environ.setdefault(_name, _value)

from config.settings import *  # noqa: E402, F403
