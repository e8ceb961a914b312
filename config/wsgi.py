"""The WSGI entry point."""

from __future__ import annotations

import os

from config.requests import wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = wsgi_application()
