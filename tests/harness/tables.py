"""The tables of a data folder's database, brought up to the checkout's migrations. Standard library only."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.harness import services

_MIGRATIONS = services.CHECKOUT / "adsapp_crm" / "migrations"


def keep_current(folder: Path, environment: Mapping[str, str]) -> None:
    """Migrate unless a stamp beside the data says that these migrations were applied; raises ServicesError.

    A database that was named from outside is its owner's affair and is left alone.
    """
    if environment["DATABASE_URL"] != services.status(folder)["DATABASE_URL"]:
        return
    stamp = folder / "migrated"
    wanted = hashlib.sha256("\n".join(sorted(path.name for path in _MIGRATIONS.glob("0*.py"))).encode()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--database", "owner", "--noinput", "--verbosity", "0"],
        cwd=services.CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        msg = f"The tables could not be made:\n{done.stdout}{done.stderr}"
        raise services.ServicesError(msg)
    stamp.write_text(wanted, encoding="utf-8")
