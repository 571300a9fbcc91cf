# SPDX-License-Identifier: MIT
"""Checks JSON against the record's schema, which lives beside the C code that writes records.

The subset of JSON Schema that core/measure/record.schema.json uses, and no more; a keyword outside
it is an error, so that the schema cannot quietly grow past its reader. The standard library has no
validator, and the run path may not need another package.
"""

from __future__ import annotations

import functools
import json
import operator
import re
from pathlib import Path
from typing import Any, Callable, Sequence, Union

_ABOVE = Path(__file__).resolve().parents[3]
# In the source tree, and installed in share/shunt.
_PLACES = (_ABOVE / "core" / "measure" / "record.schema.json", _ABOVE / "record.schema.json")

_IGNORED = {"$schema", "$id", "title", "description", "$defs", "definitions", "$comment",
            "examples", "default", "format", "then", "else"}     # the last two are read with "if"
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,),
    "number": (int, float), "integer": (int,), "null": (type(None),),
}

# Of the wrong type, or too long: the rest is not looked at.
_DECISIVE = {"type", "maxItems", "maxProperties", "maxLength"}

# What is wrong, each at a path below the value that was checked; empty if nothing is.
Found = Sequence[tuple[tuple[Union[str, int], ...], str]]
Check = Callable[[Any], Found]


@functools.cache
def run_schema() -> dict[str, Any]:
    """The schema of shunt.run/1; without it no record can be read."""
    place = next((p for p in _PLACES if p.is_file()), _PLACES[-1])
    return json.loads(place.read_text(encoding="utf-8"))


def check_run(record: dict[str, Any]) -> list[str]:
    return _said(_of_run()(record))


@functools.cache
def _of_run() -> Check:
    return _compiled(run_schema(), run_schema())


def check(value: Any, node: Any, root: dict[str, Any]) -> list[str]:
    """What of `value` does not satisfy the schema `node`; paths are dotted."""
    return _said(_compiled(node, root)(value))


def _said(found: Found) -> list[str]:
    return [f"{functools.reduce(_at, path, '') or 'document'}: {text}" for path, text in found]


def _compiled(node: Any, root: dict[str, Any]) -> Check:
    """The schema as nested functions. They pass no path down: the callers of one that finds something
    put theirs in front, and a sound record costs nothing for it."""
    if node is True or node == {}:
        return lambda value: ()
    if node is False:
        return lambda value: [((), "not allowed")]
    unknown = node.keys() - _IGNORED - _COMPILERS.keys()
    if unknown:
        raise ValueError(f"the schema uses {min(unknown)!r}, which its reader does not know")
    steps = [(_COMPILERS[k](rule, node, root), k in _DECISIVE) for k, rule in node.items() if k in _COMPILERS]
    return steps[0][0] if len(steps) == 1 else _all(steps)


def _all(steps: list[tuple[Check, bool]]) -> Check:
    def check(value: Any) -> Found:
        problems: Found = ()
        for step, decisive in steps:
            if found := step(value):
                problems = [*problems, *found]
            if decisive and problems:
                break
        return problems
    return check


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


def _under(key: str | int, found: Found) -> Found:
    return [((key, *path), text) for path, text in found]


# ---- one function a keyword: it takes the keyword's rule, and returns what checks a value -----------

def _ref(rule, node, root) -> Check:
    return _compiled(_referred(rule, root), root)


def _type(rule, node, root) -> Check:
    names = rule if isinstance(rule, list) else [rule]
    kinds = {kind for name in names for kind in _TYPES[name]}       # exact: a bool is not an integer here
    return lambda value: () if type(value) in kinds else [
        ((), f"{value!r:.40} is not of type {' or '.join(names)}")]


def _enum(rule, node, root) -> Check:
    return lambda value: () if value in rule else [((), f"{value!r:.40} is not one of {rule}")]


def _const(rule, node, root) -> Check:
    return lambda value: () if value == rule else [((), f"{value!r:.40} is not {rule!r}")]


@functools.cache
def _matcher(rule: str) -> Callable[[str], Any]:
    """A pattern of JSON Schema: there `$` is the very end, in Python also before a last line break."""
    return re.compile(re.sub(r"(?<!\\)\$", r"\\Z", rule)).search


def _pattern(rule, node, root) -> Check:
    matches = _matcher(rule)
    return lambda value: () if not isinstance(value, str) or matches(value) else [
        ((), f"{value!r:.40} does not match {rule}")]


def _bound(word: str, wrong: Callable[[Any, Any], bool]):
    def compiler(rule, node, root) -> Check:
        return lambda value: [((), f"{value} is {word} {rule}")] \
            if isinstance(value, (int, float)) and wrong(value, rule) else ()
    return compiler


def _length(least: bool, noun: str):
    sign = 1 if least else -1

    def compiler(rule, node, root) -> Check:
        def check(value: Any) -> Found:
            if not isinstance(value, (list, str, dict)) or (len(value) - rule) * sign >= 0:
                return ()
            return [((), f"{len(value)} {noun}, {'at least' if least else 'at most'} {rule} wanted")]
        return check
    return compiler


def _required(rule, node, root) -> Check:
    return lambda value: [((key,), "missing") for key in rule if key not in value] \
        if isinstance(value, dict) else ()


def _properties(rule, node, root) -> Check:
    subs = [(key, _compiled(sub, root)) for key, sub in rule.items()]
    return lambda value: [p for key, sub in subs if key in value and (found := sub(value[key]))
                          for p in _under(key, found)] if isinstance(value, dict) else ()


def _additional(rule, node, root) -> Check:
    known = node.get("properties", {}).keys()
    patterns = [_matcher(p) for p in node.get("patternProperties", {})]
    sub = _compiled(rule, root)
    return lambda value: [p for key in value if key not in known and (found := sub(value[key]))
                          and not any(matches(key) for matches in patterns)
                          for p in _under(key, found)] if isinstance(value, dict) else ()


def _pattern_properties(rule, node, root) -> Check:
    subs = [(_matcher(pattern), _compiled(sub, root)) for pattern, sub in rule.items()]
    return lambda value: [p for key in value for matches, sub in subs if matches(key)
                          for p in _under(key, sub(value[key]))] if isinstance(value, dict) else ()


def _property_names(rule, node, root) -> Check:
    sub = _compiled(rule, root)
    return lambda value: [p for key in value if (found := sub(key))
                          for p in _under(key, found)] if isinstance(value, dict) else ()


def _items(rule, node, root) -> Check:
    sub, start = _compiled(rule, root), len(node.get("prefixItems", []))
    return lambda value: [p for i, item in enumerate(value[start:], start) if (found := sub(item))
                          for p in _under(i, found)] if isinstance(value, list) else ()


def _prefix_items(rule, node, root) -> Check:
    subs = [_compiled(sub, root) for sub in rule]
    return lambda value: [p for i, (item, sub) in enumerate(zip(value, subs)) if (found := sub(item))
                          for p in _under(i, found)] if isinstance(value, list) else ()


def _all_of(rule, node, root) -> Check:
    return _all([(_compiled(sub, root), False) for sub in rule])


def _any_of(rule, node, root) -> Check:
    subs = [_compiled(sub, root) for sub in rule]

    def check(value: Any) -> Found:
        tried: list[Found] = []
        for sub in subs:
            tried.append(sub(value))
            if not tried[-1]:
                return ()
        return min(tried, key=len)
    return check


def _if(rule, node, root) -> Check:
    holds = _compiled(rule, root)
    then, otherwise = (_compiled(node.get(branch, True), root) for branch in ("then", "else"))
    return lambda value: otherwise(value) if holds(value) else then(value)


def _unique(rule, node, root) -> Check:
    def check(value: Any) -> Found:
        if not rule or not isinstance(value, list):
            return ()
        seen = [json.dumps(v, sort_keys=True) for v in value]
        return [((), "items repeat")] if len(set(seen)) != len(seen) else ()
    return check


_COMPILERS: dict[str, Callable[[Any, dict[str, Any], dict[str, Any]], Check]] = {
    "$ref": _ref, "type": _type, "enum": _enum, "const": _const, "pattern": _pattern,
    "minimum": _bound("below", operator.lt), "maximum": _bound("above", operator.gt),
    "exclusiveMinimum": _bound("not above", operator.le),
    "minLength": _length(True, "characters"), "maxLength": _length(False, "characters"),
    "minItems": _length(True, "items"), "maxItems": _length(False, "items"),
    "minProperties": _length(True, "keys"), "maxProperties": _length(False, "keys"),
    "required": _required, "properties": _properties, "additionalProperties": _additional,
    "patternProperties": _pattern_properties, "propertyNames": _property_names, "items": _items,
    "prefixItems": _prefix_items, "allOf": _all_of, "anyOf": _any_of, "oneOf": _any_of,
    "if": _if, "uniqueItems": _unique,
}
