"""Why a stage runs: what differs between two bases, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from lifecycle.core.canonical import JSON
from lifecycle.pipeline.definitions import changes
from lifecycle.pipeline.keys import UNKNOWN, Basis

NEVER = "never ran"
MISSING = "output missing or damaged"
UPSTREAM = "upstream reran"
NO_FINGERPRINT = "data cannot be fingerprinted"
TO_FINGERPRINT = "data is fingerprinted when it runs"
_SHOWN = 3  # definitions of a file that are named


def differences(before: Basis, after: Basis) -> list[str]:
    """What changed, the most telling first.

    Args:
        before: Of a run that was.
        after: Of the one that is asked for.
    """
    stage = str(after["stage"])
    found = [
        *_values(stage, _mapping(before, "options"), _mapping(after, "options")),
        *(_changed(name, before, after) for name in ("seed", "model", "data", "name", "class")),
        *_values("model_args", _mapping(before, "model_args"), _mapping(after, "model_args")),
        *_values("data_args", _mapping(before, "data_args"), _mapping(after, "data_args")),
        *_values("budget", _mapping(before, "budget"), _mapping(after, "budget")),
        *_sources(before, after),
        _data(before, after),
        *_versions(_mapping(before, "versions"), _mapping(after, "versions")),
        _own_code(before, after),
    ]
    if any(before.get(name) != after.get(name) for name in ("inputs", "baseline")):
        found.append(UPSTREAM)
    return [reason for reason in found if reason]


def _changed(name: str, before: Basis, after: Basis) -> str:
    old, new = before.get(name), after.get(name)
    return "" if old == new else f"{name} {_text(old)} → {_text(new)}"


def _values(above: str, before: Mapping[str, JSON], after: Mapping[str, JSON]) -> Iterator[str]:
    old, new = ({k: v for k, v in flatten(each).items() if v != {}} for each in (before, after))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield f"{above}.{name} {_text(old.get(name))} → {_text(new.get(name))}"


def _sources(before: Basis, after: Basis) -> Iterator[str]:
    old, new = _mapping(before, "sources"), _mapping(after, "sources")
    if _mapping(before, "versions").get("python") != _mapping(after, "versions").get("python"):
        return  # another Python reads the same text otherwise: that it is another is said already
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) == new.get(name):
            continue
        if name not in old or name not in new:
            yield f"{name} {'added' if name in new else 'removed'}"
            continue
        found = changes(_names(old[name]), _names(new[name])) or ["changed"]
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield f"{name}: {', '.join(found[:_SHOWN])}{more}"


def _data(before: Basis, after: Basis) -> str:
    old, new = before.get("fingerprint"), after.get("fingerprint")
    if new == UNKNOWN:
        return TO_FINGERPRINT
    if "fingerprint" in after and new is None:
        return NO_FINGERPRINT
    return "data changed" if old != new else ""


def _versions(before: Mapping[str, JSON], after: Mapping[str, JSON]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            yield f"{name} {old or 'absent'} → {new or 'absent'}"


def _own_code(before: Basis, after: Basis) -> str:
    if before.get("code") == after.get("code"):
        return ""
    # A new version says so itself.
    same = _mapping(before, "versions").get("model-lifecycle") == _mapping(after, "versions").get(
        "model-lifecycle"
    )
    return "lifecycle's own code changed" if same else ""


def flatten(options: Mapping[str, JSON], above: str = "") -> dict[str, JSON]:
    """Nested options under dotted names.

    >>> flatten({"trainer": {"max_epochs": 3}, "macs": 0.25})
    {'trainer.max_epochs': 3, 'macs': 0.25}
    """
    flat: dict[str, JSON] = {}
    for name, value in options.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{above}{name}.")
        else:
            flat[f"{above}{name}"] = list(value) if isinstance(value, tuple) else value
    return flat


def _mapping(basis: Mapping[str, JSON], name: str) -> Mapping[str, JSON]:
    value = basis.get(name)
    return value if isinstance(value, Mapping) else {}


def _names(value: JSON) -> dict[str, str]:
    return {name: str(text) for name, text in value.items()} if isinstance(value, Mapping) else {}


def _text(value: JSON) -> str:
    """A value as it would be written in the pipeline file."""
    if value is None:
        return "unset"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
