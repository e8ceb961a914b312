#!/usr/bin/env python
"""Django's command line. `python3 dev.py manage ...` runs it with the environment and the services of this checkout."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError as error:
        sys.exit(f"{error}. Run `python3 dev.py manage ...`, which sets the environment up first.")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
