"""The ASGI entry point."""

from __future__ import annotations

import os

from config.requests import asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = asgi_application()
