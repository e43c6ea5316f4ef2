"""Write docs/configuration.md, the reference of all configuration keys, from the files in conf/ and their comments.

    python scripts/config_reference.py           # writes the page
    python scripts/config_reference.py --check   # exits 1 if the committed page is out of date

A key's comment is on its line and may continue on indented comment lines below it. A file's header comment is its
description; header lines indented by three spaces are commands.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
PAGE = ROOT / "docs/configuration.md"
INTRO = """\
# Configuration reference

Every configuration key with its default and meaning, generated from the comments of the files in [conf/](../conf) by
`scripts/config_reference.py`.

`GROUP=OPTION` selects a file, `KEY=VALUE` sets a value; [commands](commands.md#overrides) has the syntax.
`gcsl train --cfg job` prints what a command line resolves to. `null` means no value, `???` marks a
required value, and `${...}` refers to another key.
"""
IMPLIED = {
    "_target_": "Python class that implements it",
    "name": "name of the option, as it appears in results and names of runs",
    "uri": "where the model comes from: `pypi://`, `hf://` or a path ([artifacts](artifacts.md))",
}
"""Meanings of keys that need no comment because they mean the same in every file."""
SKIPPED = {"defaults", "hydra"}
"""Top-level nodes of a file that belong to Hydra."""
GLOBAL = "_global_"


@dataclass(frozen=True)
class Key:
    """One key, named as on the command line."""

    name: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Option:
    """One file of conf/."""

    path: Path
    package: str | None
    header: list[str]
    defaults: list[object]
    keys: list[Key]


def read_option(path: Path) -> Option:
    """Read a file with its comments.

    Raises:
        ValueError: A key without a comment.
    """
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    header = [line.removeprefix("#").removeprefix(" ") for line in _leading_comments(lines)]
    package = next((line.split()[1] for line in header if line.startswith("@package")), None)
    group = path.relative_to(CONF).parts[0] if path.parent != CONF else GLOBAL
    prefix = package or group
    node = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode), path
    keys = list(_keys(node, "" if prefix == GLOBAL else f"{prefix}.", lines, path))
    defaults = (yaml.safe_load(text) or {}).get("defaults", [])
    return Option(path, package, [line for line in header if not line.startswith("@package")], defaults, keys)


def _leading_comments(lines: list[str]) -> list[str]:
    end = next((place for place, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[:end]


def _keys(node: yaml.MappingNode, prefix: str, lines: list[str], path: Path) -> Iterator[Key]:
    for key, value in node.value:
        if not key.start_mark.column and key.value in SKIPPED:
            continue
        name, block = f"{prefix}{key.value}", not isinstance(value, yaml.ScalarNode) and not value.flow_style
        comment = _comment(lines, key.end_mark if block else value.end_mark)
        if isinstance(value, yaml.MappingNode) and block and not (comment and _is_value(value, lines)):
            if comment:
                yield Key(f"{name}.*", "", comment)
            yield from _keys(value, f"{name}.", lines, path)
            continue
        meaning = comment or IMPLIED.get(key.value, "")
        if not meaning:
            raise ValueError(f"{path.relative_to(ROOT)}:{key.start_mark.line + 1}: {name} has no comment")
        yield Key(name, _default(value, lines, block=block), meaning)


def _is_value(node: yaml.MappingNode, lines: list[str]) -> bool:
    """Return True if the keys of a block are data (no key has a comment), such as templates by formulation."""
    return all(isinstance(value, yaml.ScalarNode) and not _comment(lines, value.end_mark) for _, value in node.value)


def _comment(lines: list[str], mark: yaml.Mark) -> str:
    """The comment after `mark`, continued by the comment lines below it."""
    found = re.match(r":?\s+#\s*(.*)", lines[mark.line][mark.column :])
    if not found:
        return ""
    parts = [found[1].strip()]
    for line in lines[mark.line + 1 :]:
        continued = re.match(r"\s+#\s*(.*)", line)
        if not continued:
            break
        parts.append(continued[1].strip())
    return " ".join(parts)


def _default(value: yaml.Node, lines: list[str], *, block: bool) -> str:
    """The value as written in the file; the items of a block are on separate lines of the cell."""
    if block and isinstance(value, yaml.SequenceNode):
        return "<br>".join(_code(_source(item, lines)) for item in value.value)
    if block and isinstance(value, yaml.MappingNode):
        return "<br>".join(_code(f"{key.value}: {_source(item, lines)}") for key, item in value.value)
    return _code(_source(value, lines))


def _source(node: yaml.Node, lines: list[str]) -> str:
    start, end = node.start_mark, node.end_mark
    if start.line == end.line:
        return lines[start.line][start.column : end.column]
    parts = [lines[start.line][start.column :], *lines[start.line + 1 : end.line], lines[end.line][: end.column]]
    return " ".join(part.strip() for part in parts)


def _code(text: str) -> str:
    """A code span in a table cell; checksums are abbreviated."""
    text = f"{text[:12]}..." if re.fullmatch(r"[0-9a-f]{64}", text) else text
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}".replace("|", "\\|")


def _prose(text: str) -> str:
    """Escape what Markdown or HTML would interpret outside of code spans."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    return re.sub(r"\*|(?<!\w)_|_(?!\w)", r"\\\g<0>", text).replace("<", "&lt;")


def _cell(text: str) -> str:
    return _prose(text).replace("|", "\\|")


def render() -> str:
    """The page.

    Raises:
        ValueError: A key without a comment.
    """
    root = read_option(CONF / "config.yaml")
    chosen = {str(k): v for entry in root.defaults if isinstance(entry, dict) for k, v in entry.items()}
    shown = {name: default for name, default in chosen.items() if "override " not in name and "@" not in name}
    groups = {name.removeprefix("optional "): default for name, default in shown.items()}
    sections = [INTRO, "\n".join(["## Top-level keys\n", *_table(root.keys)])]
    for group, default in groups.items():
        files = sorted((CONF / group).rglob("*.yaml"))
        options = [read_option(path) for path in files]
        sections.append(_group(group, default, options))
    return "\n".join(section.rstrip("\n") + "\n" for section in sections)


def _group(group: str, default: object, options: list[Option]) -> str:
    names = [option.path.relative_to(CONF / group).with_suffix("").as_posix() for option in options]
    listed = ", ".join(f"[{name}](#{_anchor(f'{group}={name}')})" for name in names)
    chosen = "None is selected by default." if default is None else f"The default is `{group}={default}`."
    lines = [f"## {group}\n", f"{chosen} Options: {listed}.\n"]
    packages = {option.package for option in options} - {None, GLOBAL, group}
    lines += [f"Keys of this group are set as `{package}.KEY`.\n" for package in sorted(map(str, packages))]
    for name, option in zip(names, options, strict=True):
        lines += [f"### {group}={name}\n", *_description(option), *_table(option.keys), ""]
    return "\n".join(lines)


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _description(option: Option) -> Iterator[str]:
    """The header comment as paragraphs and command blocks, followed by the defaults that the option builds on."""
    paragraph: list[str] = []
    commands: list[str] = []
    for line in [*option.header, ""]:
        command = line.startswith("  ")
        if paragraph and (command or not line.strip() or re.match(r"[A-Z]\w+( \w+)?: ", line)):
            yield _prose(" ".join(paragraph)) + "\n"
            paragraph = []
        if commands and not command:
            yield "\n".join(["```bash", *commands, "```\n"])
            commands = []
        if command:
            commands.append(line.strip())
        elif line.strip():
            paragraph.append(line.strip())
    based = [entry.split("@")[0] for entry in option.defaults if isinstance(entry, str) and entry != "_self_"]
    chosen = [pair for entry in option.defaults if isinstance(entry, dict) for pair in entry.items()]
    if based:
        yield f"Other keys are inherited from {', '.join(f'`{name}`' for name in based)}.\n"
    if chosen:
        selected = [f"`{key.removeprefix('override ').removeprefix('/')}={value}`" for key, value in chosen]
        yield f"Selects {', '.join(selected)}.\n"


def _table(keys: list[Key]) -> Iterator[str]:
    yield "| key | default | meaning |"
    yield "| --- | --- | --- |"
    for key in keys:
        yield f"| `{key.name}` | {key.default} | {_cell(key.meaning)} |"


def main() -> None:
    """Write or check the page."""
    page = render()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
        sys.exit(f"{PAGE.relative_to(ROOT)} is out of date: run python scripts/config_reference.py")


if __name__ == "__main__":
    main()
