"""``python -m tests.harness.bench.peer``: what reading HubSpot's contacts costs ``dlt``, into a DuckDB of its own.

dlt (``loads.INSTALL_DLT``) is a loader that people use for this: its REST source follows the same pages. It
compares nothing, matches nobody and writes nothing back.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.harness.bench.ideal import HUBSPOT_NAMES
from tests.harness.bench.worker import peak_mib

QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
"""It tells its makers of each run else."""


def load(dlt: Any, url: str, token: str, folder: Path, name: str) -> int:
    """The rows it has loaded."""
    source = import_module("dlt.sources.rest_api").rest_api_source(
        {
            "client": {
                "base_url": url,
                "auth": {"type": "bearer", "token": token},
                "paginator": {"type": "cursor", "cursor_path": "paging.next.after", "cursor_param": "after"},
            },
            "resources": [
                {
                    "name": "contacts",
                    "endpoint": {
                        "path": "crm/v3/objects/contacts",
                        "params": {"limit": 100, "properties": ",".join(HUBSPOT_NAMES)},
                        "data_selector": "results",
                    },
                }
            ],
        }
    )
    pipeline = dlt.pipeline(
        name,
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / f"{name}.duckdb")),
        dataset_name="crm",
    )
    pipeline.run(source)
    return int(pipeline.last_trace.last_normalize_info.row_counts["contacts"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("token")
    options = parser.parse_args()
    os.environ.update(QUIET)
    dlt = import_module("dlt")
    with tempfile.TemporaryDirectory(prefix="adsapp-crm-peer-") as folder:
        cpu, wall = time.process_time(), time.monotonic()
        rows = load(dlt, options.url, options.token, Path(folder), "bench")
        spent = {"seconds": time.monotonic() - wall, "cpuSeconds": time.process_time() - cpu}
    print(json.dumps({"rows": rows, **spent, "peakMib": peak_mib()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
