"""Makes the chart's helm/stakehold/values.schema.json: run `python -m tests.chart.values_schema` and keep it.

The values and their types are those of values.yaml; what a setting may be is what its class says. Nothing
else is let in, at any depth.
"""

import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic_settings import BaseSettings

from service.edge.edge_settings import EdgeSettings
from service.feeding.feed_settings import FeedSettings
from service.publishing.publish_settings import PublishSettings
from service.settings import Settings

CHART = Path(__file__).parents[2] / "helm" / "stakehold"

Schema = dict[str, Any]

CHARTS_OWN = frozenset(
    {
        # Credentials come from secrets.
        "valkey_url",
        "postgres_url",
        "migration_postgres_url",
        "erase_postgres_url",
        "callers_file",
        "providers_file",
        "tls_cert_file",
        "tls_key_file",
        "tls_client_ca_file",
        "tls_client_certificates",
        "traces_headers_file",
        # Ports are the chart's.
        "listen",
        "admin_listen",
        "health_listen",
        "metrics_listen",
        # For a developer's machine.
        "insecure_development",
    }
)
"""Settings that the templates make; the rest are values under `settings`."""

_ANY_OBJECT: Schema = {"type": "object"}
_STRINGS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
_QUANTITIES: Schema = {
    "type": "object",
    "properties": {name: {"type": ["string", "number"]} for name in ("cpu", "memory", "ephemeral-storage")},
    "additionalProperties": False,
}
_SECONDS: Schema = {"type": "integer", "minimum": 0}
_COUNT: Schema = {"type": "integer", "minimum": 1}
_PEERS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "minProperties": 1,
        "properties": dict.fromkeys(("podSelector", "namespaceSelector", "ipBlock"), _ANY_OBJECT),
        "additionalProperties": False,
    },
}
_PORTS: Schema = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}}
_LIMITS: Schema = {**_QUANTITIES, "required": ["memory"]}
_REQUESTS: Schema = {**_QUANTITIES, "required": ["cpu", "memory"]}

# By the last word of a value's path; what is not here has the type of its default.
_BY_NAME: Mapping[str, Schema] = {
    "podAnnotations": _STRINGS,
    "podLabels": _STRINGS,
    "annotations": _STRINGS,
    "labels": _STRINGS,
    "nodeSelector": _STRINGS,
    "tolerations": {"type": "array", "items": _ANY_OBJECT},
    "affinity": {
        "type": "object",
        "properties": dict.fromkeys(("nodeAffinity", "podAffinity", "podAntiAffinity"), _ANY_OBJECT),
        "additionalProperties": False,
    },
    "pullSecrets": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        },
    },
    "requests": _REQUESTS,
    "limits": _LIMITS,
    "ports": {**_PORTS, "minItems": 1},
    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "clientCertificates": {"enum": ["required", "optional", "none"]},
    "type": {"enum": ["ClusterIP", "LoadBalancer", "NodePort"]},
    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
    "preStopSeconds": _SECONDS,
    "terminationGracePeriodSeconds": _SECONDS,
    "callsInFlight": _SECONDS,
    "replicas": {"type": "integer", "minimum": 0},
    "minReplicas": _COUNT,
    "maxReplicas": _COUNT,
    "cpu": {"type": "integer", "minimum": 1, "maximum": 1000},
    "maxUnavailable": {"type": ["integer", "string"]},
    "certificateHours": _COUNT,
    "runAsUser": _COUNT,
    "runAsGroup": _COUNT,
    "activeDeadlineSeconds": _COUNT,
    "clients": _PEERS,
    "adminClients": _PEERS,
    "edgeClients": _PEERS,
    "prometheus": _PEERS,
    "to": _PEERS,
}

_BY_PATH: Mapping[tuple[str, ...], Schema] = {
    # Empty: those of the broker's kind. Elsewhere a policy without ports would open all of them.
    ("networkPolicy", "broker", "ports"): _PORTS,
}

_SETTINGS: Mapping[tuple[str, ...], tuple[type[BaseSettings], Collection[str]]] = {
    ("settings",): (Settings, CHARTS_OWN),
    ("publisher", "settings"): (PublishSettings, {"servers", "password", "password_file", "ca_file"}),
    ("edge", "settings"): (EdgeSettings, {"listen"}),
    ("feed", "settings"): (FeedSettings, {"target", "token", "token_file", "path"}),
}
"""Where settings are given, of which class, and which of them are the chart's to make."""


def schema_of_values() -> Schema:
    """As JSON Schema, draft 7, which both Helm 3 and Helm 4 know."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    return {"$schema": "http://json-schema.org/draft-07/schema#", **_schema((), values)}


def _schema(path: tuple[str, ...], value: Any) -> Schema:
    if path in _SETTINGS:
        settings, leaving_out = _SETTINGS[path]
        return _settings(settings, leaving_out=leaving_out)
    if path in _BY_PATH:
        return _BY_PATH[path]
    if path and path[-1] in _BY_NAME:
        return _BY_NAME[path[-1]]
    if isinstance(value, dict):
        return {
            "type": "object",
            "properties": {name: _schema((*path, name), inner) for name, inner in value.items()},
            "additionalProperties": False,
        }
    types = {bool: "boolean", int: "integer", str: "string"}
    return {"type": types[type(value)]}


def _settings(settings: type[BaseSettings], *, leaving_out: Collection[str]) -> Schema:
    """The fields that are read from variables with the class's own prefix."""
    made = settings.model_json_schema()
    names = {
        name: field
        for name, field in settings.model_fields.items()
        if field.validation_alias is None and name not in leaving_out
    }
    return {
        "type": "object",
        "properties": {name: _setting(made["properties"][name], made.get("$defs", {})) for name in names},
        "additionalProperties": False,
    }


def _setting(field: Schema, definitions: Mapping[str, Schema]) -> Schema:
    if "$ref" in field:
        return _setting(definitions[field["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in field:
        [field] = [choice for choice in field["anyOf"] if choice != {"type": "null"}]
        return _setting(field, definitions)
    told = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "pattern")
    return {name: field[name] for name in told if name in field}


if __name__ == "__main__":
    json.dump(schema_of_values(), sys.stdout, indent=2)
    print()
