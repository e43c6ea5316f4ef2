"""From exceptions to messages."""

import errno
import json
from pathlib import Path

from gcsl_cli.cli.failures import explain
from gcsl_cli.errors import DataError
from tests.commands import gcsl


def test_half_characters_in_messages_are_escaped() -> None:
    assert explain(DataError('score="\ud800"')) == (2, 'score="\\ud800"')


def test_a_path_that_the_system_refuses_is_not_a_bug(tmp_path: Path) -> None:
    for arguments in (["export", "x" * 300, "--to", "y"], ["compare", "x" * 300], ["chat", "x" * 300]):
        ended = gcsl(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert "xxx: File name too long." in ended.err
    denied = OSError(errno.EACCES, "Permission denied", str(tmp_path / "a.json"))
    assert explain(denied) == (2, f"{tmp_path / 'a.json'}: Permission denied. Correct the path, or its permissions.")


def test_a_message_with_half_a_character_is_json(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "completion": "c", "score": "\ud800" if n == 7 else n % 3} for n in range(30)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ended = gcsl("inspect", str(tmp_path / "a.jsonl"), "task.on_error=fail", "--json")

    assert ended.code == 2
    assert 'a.jsonl:8 score="\\ud800"' in json.loads(ended.out.encode())["message"]
