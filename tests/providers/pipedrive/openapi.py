"""Pipedrive's OpenAPI documents as a check on requests and answers, where their folder is present.

``CRM_SPECS_DIR`` names the folder with ``openapi-v1.yaml`` and ``openapi-v2.yaml``; unset, they are looked for beside
the checkout, in ``shared/specs/pipedrive``. The documents call many values non-null that Pipedrive sends as
null, so null passes for every property that is not required.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jsonschema
import yaml

VARIABLE = "CRM_SPECS_DIR"
BESIDE = Path(__file__).resolve().parents[3].parent / "shared" / "specs" / "pipedrive"


def folder() -> Path | None:
    """Where the documents are, or None when they are at neither place."""
    text = os.environ.get(VARIABLE, "")
    found = Path(text) if text else BESIDE
    return found if (found / "openapi-v2.yaml").is_file() else None


class Operation:
    def __init__(self, document: Document, method: str, template: str, raw: dict[str, Any]) -> None:
        self._document = document
        self.name = f"{method} {template}"
        self.cost = raw.get("x-token-cost")
        self._raw = raw

    def check_answer(self, status: int, body: Any) -> None:
        """Raises jsonschema.ValidationError when the body is not of the documented shape, KeyError for a status."""
        answer = self._document.resolved(self._raw["responses"][str(status)])
        jsonschema.validate(body, self._document.schema_of(answer))

    def check_request(self, query: dict[str, str], body: Any) -> None:
        """Raises AssertionError for a query parameter that does not exist or lacks, ValidationError for a body."""
        parameters = [self._document.resolved(each) for each in self._raw.get("parameters", [])]
        known = {each["name"]: each for each in parameters if each["in"] == "query"}
        unknown = set(query) - set(known)
        assert not unknown, f"{self.name}: no such parameter: {sorted(unknown)}"
        needed = {name for name, each in known.items() if each.get("required")}
        assert needed <= set(query), f"{self.name}: needs {sorted(needed - set(query))}"
        for name, text in query.items():
            self._document.check_text(f"{self.name} {name}", text, known[name]["schema"])
        if body is not None:
            assert "requestBody" in self._raw, f"{self.name}: takes no body"
            schema = self._document.schema_of(self._raw["requestBody"])
            jsonschema.validate(body, schema)
            properties = schema.get("properties")
            if properties:
                stray = set(body) - set(properties)
                assert not stray, f"{self.name}: no such field: {sorted(stray)}"


class Document:
    """One OpenAPI 3.0 document; ``prefix`` is what the server's path puts before the document's paths."""

    def __init__(self, path: Path, prefix: str) -> None:
        self._raw: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        self.prefix = prefix
        self.templates: list[str] = list(self._raw["paths"])

    def operation(self, method: str, path: str) -> Operation:
        """The operation behind a path such as ``/api/v2/persons/7``. Raises KeyError when there is none."""
        parts = path.removeprefix(self.prefix).strip("/").split("/")
        best: str | None = None
        for template in self.templates:
            segments = template.strip("/").split("/")
            if len(segments) != len(parts) or method.lower() not in self._raw["paths"][template]:
                continue
            fits = all(
                segment.startswith("{") or segment == part for segment, part in zip(segments, parts, strict=True)
            )
            if fits and (best is None or best.count("{") > template.count("{")):
                best = template
        if best is None:
            raise KeyError(f"{method} {path}")
        return Operation(self, method, best, self._raw["paths"][best][method.lower()])

    def resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            found: Any = self._raw
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            node = found
        return node

    def schema_of(self, holder: dict[str, Any]) -> dict[str, Any]:
        content = self.resolved(holder)["content"]
        return self._plain(content["application/json"]["schema"], depth=0)

    def check_text(self, where: str, text: str, schema: dict[str, Any]) -> None:
        schema = self.resolved(schema)
        if schema.get("type") == "integer":
            assert text.isdigit(), f"{where}: {text!r} is no integer"
        if schema.get("type") == "boolean":
            assert text in ("true", "false"), f"{where}: {text!r} is no boolean"
        if "enum" in schema and "," not in text:
            assert text in [str(each) for each in schema["enum"]], f"{where}: {text!r} is none of {schema['enum']}"

    def _plain(self, raw: dict[str, Any], *, depth: int) -> dict[str, Any]:
        """The schema as JSON Schema: references resolved, ``allOf`` of objects in one, optional values may be null."""
        node = self.resolved(raw)
        if depth > 14:
            return {}
        if "allOf" in node:
            parts = [self._plain(each, depth=depth + 1) for each in node["allOf"]]
            properties = {name: each for part in parts for name, each in part.get("properties", {}).items()}
            required = sorted({name for part in parts for name in part.get("required", [])})
            types = [part["type"] for part in parts if "type" in part]
            merged: dict[str, Any] = {"properties": properties} if properties else {}
            if required:
                merged["required"] = required
            if types and not properties:
                merged |= parts[0]
            return merged
        found: dict[str, Any] = {}
        for key in ("oneOf", "anyOf"):
            if key in node:
                return {"anyOf": [self._plain(each, depth=depth + 1) for each in node[key]]}
        for key in ("type", "enum", "required"):
            if key in node:
                found[key] = node[key]
        required = set(node.get("required", []))
        if "properties" in node:
            found["properties"] = {
                name: self._plain(each, depth=depth + 1) if name in required else self._optional(each, depth=depth + 1)
                for name, each in node["properties"].items()
            }
        if "items" in node:
            found["items"] = self._plain(node["items"], depth=depth + 1)
        return {"anyOf": [found, {"type": "null"}]} if node.get("nullable") else found

    def _optional(self, raw: dict[str, Any], *, depth: int) -> dict[str, Any]:
        return {"anyOf": [self._plain(raw, depth=depth), {"type": "null"}]}
