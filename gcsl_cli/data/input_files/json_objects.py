"""Rows inside one JSON object: a list of objects at any depth, or columns side by side, as pandas writes them.

columns {"prompt": {"0": "Hi", "1": "Bye"}, "score": {"0": 1, "1": 2}}, or lists in place of the inner objects
index   {"0": {"prompt": "Hi", "score": 1}, "1": {"prompt": "Bye", "score": 2}}
split   {"columns": ["prompt", "score"], "data": [["Hi", 1], ["Bye", 2]]}
"""

from typing import Any

PANDAS = ""
"""The key of rows that are not a list of objects."""


def rows_inside(value: dict[str, Any]) -> dict[str, list[Any]]:
    """The lists of objects inside an object, by their dotted keys; or the rows of its columns under `PANDAS`."""
    rows = _of_columns(value)
    return {PANDAS: rows} if rows else _lists(value, "")


def _lists(value: dict[str, Any], path: str) -> dict[str, list[Any]]:
    found = {}
    for key, inner in value.items():
        if isinstance(inner, list) and inner and type(inner[0]) is dict:
            found[f"{path}{key}"] = inner
        elif type(inner) is dict:
            found |= _lists(inner, f"{path}{key}.")
    return found


def _of_columns(value: dict[str, Any]) -> list[Any]:
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return [dict(zip(value["columns"], row, strict=False)) for row in value["data"] if isinstance(row, list)]
    columns = list(value.values())
    if all(type(inner) is dict for inner in columns) and len({tuple(inner) for inner in columns}) == 1:
        if not all(key.isdigit() for key in columns[0]):
            return columns if len(columns) > 1 else []
        columns = [list(inner.values()) for inner in columns]
    if len(columns) < 2 or not all(isinstance(inner, list) and len(inner) > 1 for inner in columns):
        return []
    same = len({len(inner) for inner in columns}) == 1
    return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)] if same else []
