"""docs/configuration.md is what scripts/config_reference.py writes, and every key has a comment."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).parents[3]
SCRIPT = SimpleNamespace(**runpy.run_path(str(ROOT / "scripts/config_reference.py")))
OPTIONS = sorted((ROOT / "conf").rglob("*.yaml"))


def leaves(node: object, prefix: str) -> list[str]:
    """The dotted keys of a file as YAML loads it, independent of the script."""
    if not isinstance(node, dict) or not node:
        return [prefix.rstrip(".")]
    return [leaf for key, value in node.items() for leaf in leaves(value, f"{prefix}{key}.")]


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert page == SCRIPT.render(), "run python scripts/config_reference.py (or make docs)"


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: path.relative_to(ROOT / "conf").as_posix())
def test_every_key_is_in_the_reference(path: Path) -> None:
    """Reading raises ValueError for a key without a comment."""
    found = {key.name for key in SCRIPT.read_option(path).keys}
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name in SCRIPT.SKIPPED:
        loaded.pop(name, None)
    header = path.read_text(encoding="utf-8").splitlines()[0]
    package = header.split()[-1] if "@package" in header else "_global_" if path.parent == ROOT / "conf" else ""
    prefix = {"_global_": "", "": f"{path.relative_to(ROOT / 'conf').parts[0]}."}.get(package, f"{package}.")

    missing = [leaf for leaf in leaves(loaded, prefix) if leaf not in found and leaf.rpartition(".")[0] not in found]
    assert missing == []


def test_a_comment_is_read_whatever_the_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a quoted hash, over two lines, above a list, on a node; uncommented keys below a comment are its value."""
    path = tmp_path / "goal/mine.yaml"
    path.parent.mkdir()
    path.write_text(
        "# Mine, in <short>.\n#   gcsl train goal=mine\n# Note: a | b.\ndefaults: [threshold, _self_]\n"
        'text: "a # b"   # a | *b*\nlong: 1   # one\n          # two\nlist:  # of texts\n  - "# x"\n  - y\n'
        "levels:  # of scores\n  by: raw  # rule\ntemplates:  # by name\n  one: a b\n",
        encoding="utf-8",
    )
    monkeypatch.setitem(SCRIPT.read_option.__globals__, "CONF", tmp_path)
    option = SCRIPT.read_option(path)

    assert [(key.name, key.default, key.meaning) for key in option.keys] == [
        ("goal.text", '`"a # b"`', "a | *b*"),
        ("goal.long", "`1`", "one two"),
        ("goal.list", '`"# x"`<br>`y`', "of texts"),
        ("goal.levels.*", "", "of scores"),
        ("goal.levels.by", "`raw`", "rule"),
        ("goal.templates", "`one: a b`", "by name"),
    ]
    assert list(SCRIPT._table(option.keys))[2] == '| `goal.text` | `"a # b"` | a \\| \\*b\\* |'
    assert list(SCRIPT._description(option)) == [
        "Mine, in &lt;short>.\n",
        "```bash\ngcsl train goal=mine\n```\n",
        "Note: a | b.\n",
        "Other keys are inherited from `threshold`.\n",
    ]


def test_a_key_without_a_comment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "conf/goal/mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("a: 1  # one\nb: 2\n", encoding="utf-8")
    monkeypatch.setitem(SCRIPT.read_option.__globals__, "CONF", tmp_path / "conf")
    monkeypatch.setitem(SCRIPT.read_option.__globals__, "ROOT", tmp_path)

    with pytest.raises(ValueError, match=r"conf/goal/mine.yaml:2: goal.b has no comment"):
        SCRIPT.read_option(path)
