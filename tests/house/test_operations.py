"""What docs/operations.md and the Procfile promise operators is what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

from django.core.management import get_commands

from adsapp_crm.services.jobs import Job

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def processes():
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    return dict(line.split(": ", 1) for line in lines if line)


def queues_of(command):
    return set(re.search(r"--queues (\S+)", command)[1].split(","))


def test_every_queue_has_a_worker_and_people_have_one_of_their_own(settings):
    workers = {name: queues_of(command) for name, command in processes().items() if " worker " in command}
    assert set().union(*workers.values()) == set(settings.CELERY_TASK_QUEUES)
    assert {"interactive", "realtime"} in workers.values()
    assert {"release", "web", "beat"} <= set(processes())
    assert all(f"`{name}`" in TEXT for name in processes())


def test_crontab_and_vercel_fire_jobs_that_there_are():
    crons = json.loads(re.search(r"```json\n(.*?)```", TEXT, re.DOTALL)[1])["crons"]
    crontab = re.findall(r"^(\S+ +\S+ \S+ \S+ \S+) curl .*job=([a-z-]+)", TEXT, re.MULTILINE)
    told = {each["path"].rpartition("=")[2]: each["schedule"] for each in crons}
    assert told == {job: " ".join(schedule.split()) for schedule, job in crontab}
    assert set(told) <= {job.value for job in Job}
    assert len(told) == 5


def test_commands_that_are_named_exist():
    named = set(re.findall(r"manage\.py (\w+)", TEXT))
    assert named - set(get_commands()) == set()
