# SPDX-License-Identifier: MIT
"""Checks JSON against the record's schema, which lives beside the C code that writes records.

The subset of JSON Schema that core/measure/record.schema.json uses, and no more; a keyword outside
it is an error, so that the schema cannot quietly grow past its reader. The standard library has no
validator, and the run path may not need another package.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

_ABOVE = Path(__file__).resolve().parents[3]
# In the source tree, and installed in share/shunt.
_PLACES = (_ABOVE / "core" / "measure" / "record.schema.json", _ABOVE / "record.schema.json")

_IGNORED = {"$schema", "$id", "title", "description", "$defs", "definitions", "$comment",
            "examples", "default", "format"}
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,),
    "number": (int, float), "integer": (int,), "null": (type(None),),
}


# Of the wrong type, or too long: the rest is not looked at.
_DECISIVE = {"type", "maxItems", "maxProperties", "maxLength"}


@functools.cache
def run_schema() -> dict[str, Any]:
    """The schema of shunt.run/1; without it no record can be read."""
    place = next((p for p in _PLACES if p.is_file()), _PLACES[-1])
    return json.loads(place.read_text(encoding="utf-8"))


def check_run(record: dict[str, Any]) -> list[str]:
    return check(record, run_schema(), run_schema())


def check(value: Any, node: Any, root: dict[str, Any], where: str = "") -> list[str]:
    """What of `value` does not satisfy the schema `node`; paths are dotted."""
    if node is True or node == {}:
        return []
    if node is False:
        return [f"{where or 'document'}: not allowed"]
    problems: list[str] = []
    for keyword, rule in node.items():
        if keyword in _IGNORED:
            continue
        checker = _CHECKS.get(keyword)
        if checker is None:
            raise ValueError(f"the schema uses {keyword!r}, which its reader does not know")
        problems += checker(value, rule, node, root, where)
        if problems and keyword in _DECISIVE:
            break
    return problems


def described(place: tuple[str, ...]) -> tuple[str, list[str]]:
    """What the schema says of a place in a record, or of the nearest above it, and the values it may have."""
    node, text = run_schema(), ""
    for key in place:
        node = _child(node, key)
        text = node.get("description") or _target(node).get("description") or text
    return text, _target(node).get("enum", [])


def below(place: tuple[str, ...]) -> dict[str, Any]:
    """The schema of a place in a record."""
    node = run_schema()
    for key in place:
        node = _child(node, key)
    return _target(node)


def _child(node: dict[str, Any], key: str) -> dict[str, Any]:
    node = _target(node)
    return node["items"] if key == "*" else node.get("properties", {}).get(key) or node["additionalProperties"]


def _target(node: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference stands for; any other is its own."""
    return _referred(node["$ref"], run_schema()) if "$ref" in node else node


def _referred(rule: str, root: dict[str, Any]) -> Any:
    for part in rule.removeprefix("#/").split("/"):
        root = root[part]
    return root


def _at(where: str, key: str | int) -> str:
    if isinstance(key, int):
        return f"{where}[{key}]"
    return f"{where}.{key}" if where else key


def _ref(value, rule, node, root, where):
    return check(value, _referred(rule, root), root, where)


def _type(value, rule, node, root, where):
    kinds = rule if isinstance(rule, list) else [rule]
    for kind in kinds:
        if isinstance(value, bool) and kind != "boolean":
            continue
        if isinstance(value, _TYPES[kind]):
            return []
    return [f"{where or 'document'}: {value!r:.40} is not of type {' or '.join(kinds)}"]


def _enum(value, rule, node, root, where):
    return [] if value in rule else [f"{where}: {value!r:.40} is not one of {rule}"]


def _const(value, rule, node, root, where):
    return [] if value == rule else [f"{where}: {value!r:.40} is not {rule!r}"]


@functools.cache
def _compiled(rule: str) -> re.Pattern:
    """A pattern of JSON Schema: there `$` is the very end, in Python also before a last line break."""
    return re.compile(re.sub(r"(?<!\\)\$", r"\\Z", rule))


def _matches(rule: str, text: str) -> bool:
    return bool(_compiled(rule).search(text))


def _pattern(value, rule, node, root, where):
    if isinstance(value, str) and not _matches(rule, value):
        return [f"{where}: {value!r:.40} does not match {rule}"]
    return []


def _minimum(value, rule, node, root, where):
    if isinstance(value, (int, float)) and value < rule:
        return [f"{where}: {value} is below {rule}"]
    return []


def _maximum(value, rule, node, root, where):
    if isinstance(value, (int, float)) and value > rule:
        return [f"{where}: {value} is above {rule}"]
    return []


def _exclusive_minimum(value, rule, node, root, where):
    if isinstance(value, (int, float)) and value <= rule:
        return [f"{where}: {value} is not above {rule}"]
    return []


def _length(least: bool, noun: str):
    def checker(value, rule, node, root, where):
        if not isinstance(value, (list, str, dict)):
            return []
        bad = len(value) < rule if least else len(value) > rule
        return [f"{where}: {len(value)} {noun}, {'at least' if least else 'at most'} {rule} wanted"] \
            if bad else []
    return checker


def _required(value, rule, node, root, where):
    if not isinstance(value, dict):
        return []
    return [f"{_at(where, key)}: missing" for key in rule if key not in value]


def _properties(value, rule, node, root, where):
    if not isinstance(value, dict):
        return []
    return [p for key, sub in rule.items() if key in value
            for p in check(value[key], sub, root, _at(where, key))]


def _extra_keys(value, node):
    known = node.get("properties", {})
    patterns = node.get("patternProperties", {})
    return [k for k in value if k not in known and not any(_matches(p, k) for p in patterns)]


def _additional(value, rule, node, root, where):
    if not isinstance(value, dict):
        return []
    return [p for key in _extra_keys(value, node)
            for p in check(value[key], rule, root, _at(where, key))]


def _pattern_properties(value, rule, node, root, where):
    if not isinstance(value, dict):
        return []
    return [p for key in value for pattern, sub in rule.items() if _matches(pattern, key)
            for p in check(value[key], sub, root, _at(where, key))]


def _property_names(value, rule, node, root, where):
    if not isinstance(value, dict):
        return []
    return [p for key in value for p in check(key, rule, root, _at(where, key))]


def _items(value, rule, node, root, where):
    if not isinstance(value, list):
        return []
    start = len(node.get("prefixItems", []))
    return [p for i, item in enumerate(value[start:], start)
            for p in check(item, rule, root, _at(where, i))]


def _prefix_items(value, rule, node, root, where):
    if not isinstance(value, list):
        return []
    return [p for i, (item, sub) in enumerate(zip(value, rule))
            for p in check(item, sub, root, _at(where, i))]


def _all_of(value, rule, node, root, where):
    return [p for sub in rule for p in check(value, sub, root, where)]


def _any_of(value, rule, node, root, where):
    tried = [check(value, sub, root, where) for sub in rule]
    return [] if any(not t for t in tried) else min(tried, key=len)


def _if(value, rule, node, root, where):
    branch = "else" if check(value, rule, root, where) else "then"
    return check(value, node[branch], root, where) if branch in node else []


def _nothing(value, rule, node, root, where):
    return []


def _unique(value, rule, node, root, where):
    if rule and isinstance(value, list):
        seen = [json.dumps(v, sort_keys=True) for v in value]
        if len(set(seen)) != len(seen):
            return [f"{where}: items repeat"]
    return []


_CHECKS = {
    "$ref": _ref, "type": _type, "enum": _enum, "const": _const, "pattern": _pattern,
    "minimum": _minimum, "maximum": _maximum, "exclusiveMinimum": _exclusive_minimum,
    "minLength": _length(True, "characters"), "maxLength": _length(False, "characters"),
    "minItems": _length(True, "items"), "maxItems": _length(False, "items"),
    "minProperties": _length(True, "keys"), "maxProperties": _length(False, "keys"),
    "required": _required, "properties": _properties, "additionalProperties": _additional,
    "patternProperties": _pattern_properties, "propertyNames": _property_names, "items": _items,
    "prefixItems": _prefix_items, "allOf": _all_of, "anyOf": _any_of, "oneOf": _any_of,
    "if": _if, "then": _nothing, "else": _nothing, "uniqueItems": _unique,
}
