"""How tests call the API, and what an error of it says."""

from __future__ import annotations

import json

CONTACTS = "/api/crm/contacts"


def post(browser, path, body=None, **headers):
    return browser.post(path, json.dumps(body or {}), content_type="application/json", headers=headers)


def problem(answer):
    assert answer["Content-Type"] == "application/problem+json", answer.content
    body = answer.json()
    assert {"type", "title", "status", "detail", "code", "fix"} <= set(body)
    return answer.status_code, body["code"]
