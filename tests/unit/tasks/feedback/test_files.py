"""The files that people have: each is read as it was meant, and the dry run says how."""

import bz2
import gzip
import io
import json
import lzma
import random
import shlex
import zipfile
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gcsl_cli.configs import Composer, finish, without_hydra
from gcsl_cli.data.calls import unpacked
from gcsl_cli.data.input_files import CsvConfig
from gcsl_cli.data.splits import SplitConfig
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.tasks.feedback.columns import ColumnsConfig
from gcsl_cli.tasks.feedback.grades import parse_words, words_override
from gcsl_cli.tasks.feedback.task import FeedbackTask

TABLE = [("What is 1?", "It is 1.", 1.0), ("What is 2?", "It is 2.", 2.5), ("What is 3?", "It is 3.", 3.0)]
ROWS: list[dict[str, Any]] = [{"prompt": p, "completion": c, "score": s} for p, c, s in TABLE]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
COMMAS = "prompt,completion,score\n" + "".join(f"{p},{c},{s}\n" for p, c, s in TABLE)


def made(path: Path, **changes: Any) -> FeedbackTask:
    columns = ColumnsConfig(**{key: changes.pop(key) for key in ("prompt", "completion", "score") if key in changes})
    settings: dict[str, Any] = {"path": str(path), "columns": columns, "split": SplitConfig(minimum=1)} | changes
    return FeedbackTask(**settings)


def read(task: FeedbackTask) -> list[tuple[str, str, float]]:
    return [(row.prompt, row.completion, row.score) for row in task.graded_rows(lambda *_: [], None)]


def written(folder: Path, content: bytes | str, name: str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def jsonl(folder: Path, rows: list[Any], name: str = "my.jsonl") -> Path:
    return written(folder, "".join(json.dumps(row) + "\n" for row in rows), name)


def said(task: FeedbackTask, label: str) -> list[str]:
    return [text for key, text in task.overview() if key == label]


# Compression


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


def zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("data/rows.jsonl", content)
        archive.writestr("data/README.txt", b"read me")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "pack", "how"),
    [
        ("my.jsonl.gz", gzip.compress, "gzip"),
        ("my.jsonl", gzip.compress, "gzip"),
        ("my.jsonl.bz2", bz2.compress, "bzip2"),
        ("my.jsonl.xz", lzma.compress, "xz"),
        ("my.jsonl.zst", zstd, "zstd"),
        ("my.zip", zipped, "zip"),
        ("my.csv.gz", lambda _: gzip.compress(COMMAS.encode()), "gzip"),
    ],
)
def test_compressed_files(tmp_path: Path, name: str, pack: Callable[[bytes], bytes], how: str) -> None:
    task = made(written(tmp_path, pack(LINES), name))

    assert read(task) == TABLE
    assert said(task, "read as") == [f"unpacked ({how})"]


# JSON


JSON = [
    ("array.json", json.dumps(ROWS), "a JSON array"),
    ("pretty.json", json.dumps(ROWS, indent=2), "a JSON array"),
    ("array.jsonl", "\n" + json.dumps(ROWS), "a JSON array"),
    ("key.json", json.dumps({"version": 1, "data": ROWS, "n": 3}), "rows under the key 'data' (task.rows_key)"),
    ("key.json", json.dumps({"data": ROWS, "tags": ["a"]}, indent=1), "rows under the key 'data' (task.rows_key)"),
    ("indented.jsonl", "".join(json.dumps(row, indent=2) + "\n" for row in ROWS), "indented JSON objects, one after"),
    ("glued.jsonl", "".join(map(json.dumps, ROWS)), "indented JSON objects, one after"),
    (
        "deep.json",
        json.dumps({"v": 1, "result": {"rows": ROWS}}),
        "rows under the key 'result.rows'; places are numbers",
    ),
    ("lists.json", json.dumps({key: [row[key] for row in ROWS] for key in ROWS[0]}), "columns side by side, as pandas"),
    (
        "columns.json",
        json.dumps({key: {str(n): row[key] for n, row in enumerate(ROWS)} for key in ROWS[0]}, indent=1),
        "columns side by side, as pandas writes them; places are numbers of rows",
    ),
    ("index.json", json.dumps({str(n): row for n, row in enumerate(ROWS)}), "columns side by side, as pandas"),
    (
        "split.json",
        json.dumps({"columns": list(ROWS[0]), "index": [0, 1, 2], "data": [list(row.values()) for row in ROWS]}),
        "columns side by side, as pandas",
    ),
]


@pytest.mark.parametrize(("name", "content", "how"), JSON, ids=range(len(JSON)))
@pytest.mark.parametrize("piece", [7, 2**16])
def test_json_that_is_not_in_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, how: str, piece: int
) -> None:
    """Wherever the pieces are cut that are read at a time."""
    monkeypatch.setattr("gcsl_cli.data.input_files.json_format.PIECE", piece)
    task = made(written(tmp_path, content, name))

    assert read(task) == TABLE
    assert said(task, "read as")[0].startswith(how)


def test_a_key_may_be_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps({"test": [{"a": 1}], "train": ROWS}), "my.jsonl")

    assert read(made(path, rows_key="train")) == TABLE
    with pytest.raises(ConfigError, match=r"task\.rows_key=trian: .* Did you mean train\? Its keys: test, train"):
        read(made(path, rows_key="trian"))
    with pytest.raises(ConfigError, match=r"task\.rows_key=data: .* is not one JSON object"):
        read(made(written(tmp_path, LINES, "lines.jsonl"), rows_key="data"))


def test_a_key_further_inside_may_be_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps({"a": {"test": [{"b": 1}], "train": ROWS}}), "my.json")

    assert read(made(path, rows_key="a.train")) == TABLE
    with pytest.raises(ConfigError, match=r"'a\.test', 'a\.train' could each hold the rows.*task\.rows_key=a\.test"):
        read(made(path))


def test_a_row_of_an_array_has_its_line(tmp_path: Path) -> None:
    """Each element is a row of its own, which a fault in another does not cost."""
    content = json.dumps([ROWS[0], {**ROWS[1], "score": None}, 3, ROWS[2]], indent=1)
    task = made(written(tmp_path, content, "my.json"))

    with pytest.raises(
        DataError, match=r"score is missing: my\.json:7 score=null\n  1 x not a JSON object: my\.json:12"
    ):
        read(task)


# Columns


HI, BYE = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Bye"}


@pytest.mark.parametrize(
    ("row", "fix"),
    [
        (
            {"id": 1, "fields": {"prompt": "Q", "response": "A"}, "responses": {"rating": [{"user": "u", "value": 4}]}},
            "task.columns.completion=fields.response task.columns.prompt=fields.prompt "
            "task.columns.score=responses.rating.value.",
        ),
        ({"prompt": "Q", "response": "A", "user_id": 3, "helpfulness": 4}, "Set task.columns.score=helpfulness."),
        ({"input": {"messages": [HI]}, "output": BYE, "score": 1}, "Set task.columns.prompt=input.messages."),
        ({"prompt": {"id": "1", "text": "Q"}, "output": "A", "label": 1}, "Set task.columns.prompt=prompt.text."),
        ({"question": "Q", "answers": [{"id": 1, "text": "A", "pm_score": 4}]}, "completion=answers.text"),
        ({"question": "Q", "answers": [{"id": 1, "text": "A", "pm_score": 4}]}, "score=answers.pm_score."),
        (
            {"prompt": {"role": "prompter", "text": "Q"}, "output": "A", "label": 1},
            "Set task.columns.prompt=prompt.text.",
        ),
        ({"inputs": "Q", "model_output": "A", "v1/score": 1, "user": "u"}, "Set task.columns.completion=model_output"),
        ({"messages": [HI, BYE | {"weight": 1}]}, "Set task.columns.score=messages.weight."),
        ({"question": "Q", "answer": "A", "Overall rating": 4}, "Set 'task.columns.score=Overall rating'."),
    ],
)
def test_columns_that_are_not_found_are_suggested_all_at_once(tmp_path: Path, row: dict[str, Any], fix: str) -> None:
    """And the file can be read with them."""
    path = jsonl(tmp_path, [row])
    alone = {"split": SplitConfig(test=0, validation=0)}

    with pytest.raises(ConfigError) as error:
        read(made(path))
    assert fix in str(error.value)
    overrides = shlex.split(str(error.value).rpartition(" Set ")[2].removesuffix("."))
    columns = dict(line.removeprefix("task.columns.").split("=") for line in overrides)
    assert len(read(made(path, **columns, **alone))) == 1


PAIR = {"chosen": "A.", "rejected": "B."}


@pytest.mark.parametrize(
    ("row", "prompt", "grades"),
    [
        ({"prompt": "Q", **PAIR}, "Q", [1, 0]),
        ({"prompt": "Q", **PAIR, "score_chosen": 4, "score_rejected": 1.5}, "Q", [4, 1.5]),
        ({name: f"\n\nHuman: Hi\n\nAssistant: {text}" for name, text in PAIR.items()}, json.dumps([HI]), [1, 0]),
        ({name: [HI, BYE | {"content": text}] for name, text in PAIR.items()}, json.dumps([HI]), [1, 0]),
        ({"prompt": [HI]} | {name: [BYE | {"content": text}] for name, text in PAIR.items()}, json.dumps([HI]), [1, 0]),
        (
            {"prompt": "Hi", "messages": [HI, BYE]} | {name: [HI, BYE | {"content": PAIR[name]}] for name in PAIR},
            json.dumps([HI]),
            [1, 0],
        ),
    ],
)
def test_preference_pairs(tmp_path: Path, row: dict[str, Any], prompt: str, grades: list[float]) -> None:
    task = made(jsonl(tmp_path, [row]), split=SplitConfig(test=0, validation=0))

    assert read(task) == [(prompt, "A.", grades[0]), (prompt, "B.", grades[1])]
    assert said(task, "read as") == ["pairs: chosen is graded 1 and rejected 0, or by score_chosen and score_rejected"]


def test_one_of_a_pair_may_be_a_column_like_any_other(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [row | PAIR for row in ROWS])

    assert read(made(path)) == TABLE
    assert read(made(path, completion="chosen")) == [(prompt, "A.", score) for prompt, _, score in TABLE]


def test_alpaca(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Translate.", "input": "Hund", "output": "dog", "score": 1},
        {"instruction": "Name a cat.", "input": "", "output": "Minka", "score": 2},
        {"instruction": "Name a dog.", "input": None, "output": "Rex", "score": 3},
    ]
    task = made(jsonl(tmp_path, rows))

    assert [row[0] for row in read(task)] == ["Translate.\n\nHund", "Name a cat.", "Name a dog."]
    assert task.overview()[1][1].startswith("prompt=instruction+input,")
    assert said(task, "read as") == [
        "instruction, input with a blank line between them are the prompt (task.columns.prompt)"
    ]
    assert read(made(tmp_path / "my.jsonl", prompt="input+instruction"))[0][0] == "Hund\n\nTranslate."
    assert read(made(tmp_path / "my.jsonl", prompt="instruction"))[0][0] == "Translate."


def ultra(number: int, *scores: float) -> dict[str, Any]:
    completions = [{"model": "m", "response": f"{number}.{n}", "overall_score": s} for n, s in enumerate(scores)]
    return {"instruction": f"What is {number}?", "models": ["m"], "completions": completions}


SEVERAL = [("What is 0?", "0.0", 3), ("What is 0?", "0.1", 4), ("What is 1?", "1.0", 5), ("What is 2?", "2.0", 1)]


def test_ultrafeedback(tmp_path: Path) -> None:
    task = made(jsonl(tmp_path, [ultra(0, 3, 4), ultra(1, 5), ultra(2, 1)]))

    assert read(task) == SEVERAL
    assert task.overview()[1][1] == (
        "prompt=instruction, completion=completions.response, score=completions.overall_score"
    )
    assert said(task, "read as") == ["one row per completion in the list"]


@pytest.mark.parametrize("chosen", [{}, {"completion": "responses[]", "score": "scores[]"}])
def test_lists_beside_each_other(tmp_path: Path, chosen: dict[str, str]) -> None:
    rows = [
        {"prompt": "What is 0?", "responses": ["0.0", "0.1"], "scores": [3, 4]},
        {"prompt": "What is 1?", "responses": ["1.0"], "scores": [5]},
        {"prompt": "What is 2?", "responses": ["2.0"], "scores": [1]},
    ]
    assert read(made(jsonl(tmp_path, rows), **chosen)) == SEVERAL
    with pytest.raises(DataError, match=r"1 x 2 completions and 1 grades: bad\.jsonl:4"):
        read(made(jsonl(tmp_path, [*rows, rows[0] | {"scores": [1]}], "bad.jsonl")))


def test_rarer_names_count_only_without_the_usual_ones(tmp_path: Path) -> None:
    rows = [row | {"overall_score": 9, "conversations": []} for row in ROWS]

    assert read(made(jsonl(tmp_path, rows))) == TABLE
    assert read(made(jsonl(tmp_path, rows), score="overall_score"))[0][2] == 9


def test_completions_in_columns_of_their_own(tmp_path: Path) -> None:
    """The settings that the error names read two rows from each."""
    rows = [{"prompt": p, "response_0": c, "response_1": "No.", "score_A": s, "score_B": 0} for p, c, s in TABLE]
    path = jsonl(tmp_path, rows)
    columns = {"completion": "response_0+response_1", "score": "score_A+score_B"}

    with pytest.raises(ConfigError) as error:
        read(made(path))
    assert str(error.value).endswith(" ".join(f"task.columns.{role}={name}" for role, name in columns.items()) + ".")
    task = made(path, **columns)
    assert read(task) == [row for p, c, s in TABLE for row in ((p, c, s), (p, "No.", 0))]
    assert task.grade_scale(task.first_rows(None)).name == "quality"
    with pytest.raises(ConfigError, match=r"task\.columns\.score=score_C: .* Did you mean score_[AB]"):
        read(made(path, completion="response_0+response_1", score="score_A+score_C"))


def test_ratings_in_columns_of_their_own(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [{"prompt": p, "completion": c, "rater_1": s, "rater_2": s + 1} for p, c, s in TABLE])

    assert [row[2] for row in read(made(path, score="rater_1+rater_2"))] == [s + 0.5 for *_, s in TABLE]


def test_a_list_of_one_completion_may_have_a_single_grade(tmp_path: Path) -> None:
    rows = [{"prompt": p, "outputs": [{"text": c}], "scores": {"value": s}} for p, c, s in TABLE]
    task = made(jsonl(tmp_path, rows), completion="outputs.text", score="scores.value")

    assert read(task) == TABLE
    assert task.grade_scale(task.first_rows(None)).name == "quality"


def test_a_faulty_completion_costs_no_other(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [ultra(0, 3, 4), ultra(1, 5), ultra(2, 1), ultra(3, None, 2)])  # type: ignore[arg-type]

    assert len(read(made(path, on_error="skip"))) == 5
    with pytest.raises(DataError, match=r"1 of 6 rows(.|\n)*completions\.overall_score is missing: my\.jsonl:4"):
        read(made(path))


@pytest.mark.parametrize(("reduce", "grade"), [("mean", 2.0), ("median", 1.0), ("min", 0.0), ("max", 5.0)])
def test_ratings_of_several_raters(tmp_path: Path, reduce: str, grade: float) -> None:
    rows = [
        {"prompt": "a", "completion": "b", "rating": [{"user": 7, "value": 0}, {"value": 1}, None, {"value": 5}]},
        {"prompt": "c", "completion": "d", "rating": [{"value": 2}]},
        {"prompt": "e", "completion": "f", "rating": 3},
    ]
    task = made(jsonl(tmp_path, rows), reduce=reduce)

    assert [row[2] for row in read(task)] == [grade, 2, 3]
    assert said(task, "read as") == [f"several ratings per completion; their {reduce} counts (task.reduce)"]


def test_ratings_that_are_plain_lists(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "completion": "c", "ratings": [n, "2"]} for n in range(3)]

    assert [row[2] for row in read(made(jsonl(tmp_path, rows)))] == [1, 1.5, 2]


def test_an_unknown_way_to_reduce_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"task\.reduce=mode: unknown\. Allowed: mean, median, min, max"):
        read(made(written(tmp_path, LINES, "my.jsonl"), reduce="mode"))


@pytest.mark.parametrize("empty", [{"scores": None}, {}, {"scores": {"help": None}}])
def test_columns_that_begin_late(tmp_path: Path, empty: dict[str, Any]) -> None:
    """The first 150 rows have no score; the column exists all the same."""
    rows = [
        {"prompt": f"p{n}", "completion": "c"} | (empty if n < 150 else {"scores": {"help": n}}) for n in range(160)
    ]
    found = read(made(jsonl(tmp_path, rows), score="scores.help", on_error="skip"))

    assert [row[2] for row in found] == list(range(150, 160))


def test_the_first_values_decide_wherever_they_are(tmp_path: Path) -> None:
    """150 rows without a prompt do not make the file one of texts."""
    rows = [{"prompt": None, "completion": "c", "score": 1}] * 150
    chats = [{"prompt": [{"role": "user", "content": f"u{n}"}], "completion": "c", "score": 1} for n in range(3)]

    assert len(read(made(jsonl(tmp_path, [*rows, *chats]), on_error="skip"))) == 3


# Conversations


def chat(*turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [*turns, {"role": "assistant", "content": "Yes."}], "score": 1, **more}


def chat_with(text: str, answer: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}, answer], "score": 1}


USER = {"role": "user", "content": "Hi"}


def prompts(folder: Path, *rows: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """The prompts of the rows, and what the dry run says was changed."""
    others = [chat({"role": "user", "content": text}) for text in ("other 1", "other 2")]
    task = made(jsonl(folder, [*rows, *others]))
    found = read(task)[: len(rows)]
    return [json.loads(prompt) for prompt, _, _ in found], said(task, "changed")


def test_sharegpt(tmp_path: Path) -> None:
    turns = [{"from": "system", "value": "Be kind."}, {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]
    rows = [{"conversations": turns, "score": 1}, *({"conversations": turns[1:], "score": n} for n in range(2))]
    rows[2]["conversations"] = [{"from": "human", "value": "Hey"}, turns[2]]
    task = made(jsonl(tmp_path, rows))
    prompt, completion, _ = read(task)[0]

    assert json.loads(prompt) == [{"role": "system", "content": "Be kind."}, USER]
    assert completion == "Ho"
    assert said(task, "changed") == ["3 x messages by human, read as user", "3 x messages by gpt, read as assistant"]


@pytest.mark.parametrize(
    ("named", "role"), [("developer", "system"), ("human", "user"), ("model", "assistant"), ("bot", "assistant")]
)
def test_other_names_of_roles(tmp_path: Path, named: str, role: str) -> None:
    found, changed = prompts(tmp_path, chat({"role": named, "content": "A"}, USER))

    assert found[0][0] == {"role": role, "content": "A"}
    assert changed == [f"1 x messages by {named}, read as {role}"]


@pytest.mark.parametrize("content", ["", None])
def test_empty_system_messages_are_left_out(tmp_path: Path, content: str | None) -> None:
    found, changed = prompts(tmp_path, chat({"role": "system", "content": content}, USER))

    assert found == [[USER]]
    assert changed == ["1 x empty system messages, left out"]


@pytest.mark.parametrize("write", [json.dumps, repr])
def test_conversations_that_are_written_as_text(tmp_path: Path, write: Callable[[Any], str]) -> None:
    """As CSV files have them, in JSON or in Python's notation."""
    asked, answered = [HI | {"content": 'it\'s "Hi"'}], [BYE]
    alone = {"split": SplitConfig(test=0, validation=0)}
    whole = made(jsonl(tmp_path, [{"messages": write(asked + answered), "label": 1}]), **alone)
    columns = {"messages": write(asked), "completion": write(answered), "label": 1}

    assert read(whole) == read(made(jsonl(tmp_path, [columns], "2.jsonl"), **alone)) == [(json.dumps(asked), "Bye", 1)]
    assert said(whole, "changed") == ["1 x conversations written as text, parsed"]


def test_parts_of_messages_are_joined(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"}]
    found, _ = prompts(tmp_path, chat({"role": "user", "content": parts}))

    assert found[0][0]["content"] == "What is this?"


def test_parts_that_are_no_text_are_refused_by_name(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "x"}}]

    with pytest.raises(DataError, match=r"1 x message part of type image_url; only text can be used: my\.jsonl:1"):
        prompts(tmp_path, chat({"role": "user", "content": parts}))


CALL = {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"q": "x"}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWER = {"role": "tool", "tool_call_id": "1", "content": "42"}


def test_tool_calls_in_a_prompt(tmp_path: Path) -> None:
    """They stay for the chat template, with arguments as an object, and so do the tools beside the messages."""
    tools = [{"type": "function", "function": {"name": "find"}}]
    found, _ = prompts(tmp_path, chat(USER, CALLING, ANSWER, tools=json.dumps(tools)))

    assert found[0]["tools"] == tools
    assert found[0]["messages"][1]["content"] == ""
    assert found[0]["messages"][1]["tool_calls"][0]["function"] == {"name": "find", "arguments": {"q": "x"}}
    assert found[0]["messages"][2] == ANSWER


@pytest.mark.parametrize("content", [None, "Let me look."])
@pytest.mark.parametrize("apart", [False, True])
def test_completions_that_call_tools_keep_their_calls(tmp_path: Path, content: str | None, apart: bool) -> None:
    """For the chat template, with a text beside them; also in a column of their own, after a prompt that is text."""
    answer, hi = CALLING | {"content": content}, USER["content"]
    rows = [
        {"prompt": text, "completion": answer, "score": 1} if apart else chat_with(text, answer)
        for text in (hi, "other 1", "other 2")
    ]
    found = unpacked(read(made(jsonl(tmp_path, rows)))[0][1])

    assert found is not None
    assert found["content"] == (content or "")
    assert found["tool_calls"][0]["function"] == {"name": "find", "arguments": {"q": "x"}}


# Grades and completions


@pytest.mark.parametrize(("good", "bad"), [("True", "FALSE"), ("yes", " No "), ("👍", "👎"), (True, False), ("1", "0")])
def test_words_that_are_grades_everywhere(tmp_path: Path, good: Any, bad: Any) -> None:
    rows = [row | {"score": value} for row, value in zip(ROWS, (good, bad, bad), strict=True)]

    assert [row[2] for row in read(made(jsonl(tmp_path, rows)))] == [1, 0, 0]


@pytest.mark.parametrize(
    ("texts", "grades", "override"),
    [
        (["good", "bad", "bad"], {"Good ": 1, "bad": 0}, "'task.grades={good: 1, bad: 0}'"),
        (["up", "up", "down"], [["up", 5], ["down", 2]], "'task.grades={up: 1, down: 0}'"),
        (["😀", "😀", "it's"], [["😀", 1], ["it's", 0]], """'task.grades=[["😀", 0], ["it'"'"'s", 1]]'"""),
    ],
)
def test_texts_get_their_grades_from_the_setting(tmp_path: Path, texts: list[str], grades: Any, override: str) -> None:
    """The error names the setting, ready to be pasted."""
    path = jsonl(tmp_path, [row | {"score": text} for row, text in zip(ROWS, texts, strict=True)])

    with pytest.raises(DataError) as error:
        read(made(path))
    assert str(error.value).endswith(f"higher for better; check the numbers: {override}")
    pairs = dict(grades)
    expected = [pairs.get(text, pairs.get(f"{text.capitalize()} ")) for text in texts]
    assert [row[2] for row in read(made(path, grades=grades))] == expected


def test_texts_among_many_numbers_get_no_setting(tmp_path: Path) -> None:
    rows = [row | {"score": score} for row in ROWS for score in ("n/a", 1, 2)]

    with pytest.raises(DataError, match=r"3 x score is not a number.*\n.*task\.on_error=skip\.$"):
        read(made(jsonl(tmp_path, rows)))


def test_the_setting_can_be_pasted() -> None:
    composer = Composer(None)
    for texts in (["good", "bad"], ["it's", "n/a"], ["👍 up", 'say "x", please']):
        lines = shlex.split(words_override(texts))
        config = finish(without_hydra(composer.compose(["task=feedback", "task.path=x", *lines])), lines)
        assert list(parse_words(config.task.grades)) == [text.casefold() for text in texts]


@pytest.mark.parametrize(
    ("texts", "grades"),
    [
        (["C", "a"], "{C: 3, a: 5}"),
        (["one", "5 stars"], '[["one", 0], ["5 stars", 1]]'),
        (["1 star", "5 stars"], '[["1 star", 1], ["5 stars", 5]]'),
        (["★★☆", "★★★"], '[["★★☆", 2], ["★★★", 3]]'),
        (["2026-01-02", "2026-01-03"], '[["2026-01-02", 0], ["2026-01-03", 1]]'),
    ],
)
def test_the_setting_has_the_numbers_that_texts_seem_to_mean(texts: list[str], grades: str) -> None:
    assert words_override(texts) == shlex.quote(f"task.grades={grades}")


@pytest.mark.parametrize(("text", "grade"), [("85%", 85), (" 7.5 % ", 7.5), ("4/5", 0.8), ("-1 / 2", -0.5)])
def test_shares_are_numbers(tmp_path: Path, text: str, grade: float) -> None:
    task = made(jsonl(tmp_path, [row | {"score": text} for row in ROWS]))

    assert [row[2] for row in read(task)] == [grade] * 3
    assert said(task, "changed") == ["3 x grades written as shares, read as numbers: 85% is 85, 4/5 is 0.8"]
    with pytest.raises(DataError, match="score is not a finite number"):
        read(made(jsonl(tmp_path, [ROWS[0] | {"score": "4/0"}])))


@pytest.mark.parametrize("grades", [{"good": "very"}, "good", [["a", 1, 2]], {}])
def test_unusable_grades_are_refused(tmp_path: Path, grades: Any) -> None:
    with pytest.raises(ConfigError, match=r"task\.grades=.*: expected the grade of each text"):
        read(made(written(tmp_path, LINES, "my.jsonl"), grades=grades))


def test_decimals_and_large_integers_of_parquet(tmp_path: Path) -> None:
    scores = pa.array([Decimal("1.25"), Decimal("2.50"), Decimal("3.00")], pa.decimal128(10, 2))
    table = pa.table({"prompt": ["a", "b", "c"], "completion": pa.array([0, 3, 2**63], pa.uint64()), "score": scores})
    pq.write_table(table, tmp_path / "my.parquet")
    task = made(tmp_path / "my.parquet")

    assert read(task) == [("a", "0", 1.25), ("b", "3", 2.5), ("c", "9223372036854775808", 3.0)]
    assert said(task, "changed") == ["3 x completions that are numbers, read as text"]


# CSV


SPREADSHEET = "\ufeffsep=;\r\nprompt;completion;score;\r\n" + "".join(
    f'"{p}";{c};{str(s).replace(".", ",")};\r\n' for p, c, s in TABLE
)


@pytest.mark.parametrize("end", ["", ";;;\r\n;;;\r\n"])
def test_a_spreadsheet_with_decimal_commas(tmp_path: Path, end: str) -> None:
    task = made(written(tmp_path, SPREADSHEET + end, "my.csv"))

    assert read(task) == TABLE
    assert said(task, "read as") == [
        "fields between ';' (task.csv.delimiter)",
        "decimal commas (task.csv.decimal)",
    ]
    empty = ["2 x empty rows, left out"] if end else []
    assert said(task, "changed") == ["1 x columns without a name, left out", *empty]


@pytest.mark.parametrize("delimiter", list(";\t|"))
def test_the_header_tells_the_delimiter(tmp_path: Path, delimiter: str) -> None:
    content = COMMAS.replace(",", delimiter)

    assert read(made(written(tmp_path, content, "my.csv"))) == TABLE


def test_spaces_after_delimiters_are_left_out_if_the_header_has_them(tmp_path: Path) -> None:
    rows = "".join(f'"{p}", "{c}", {s}\n' for p, c, s in TABLE)
    task = made(written(tmp_path, f"prompt, completion, score\n{rows}", "my.csv"))

    assert read(task) == TABLE
    assert said(task, "read as") == ["spaces after delimiters left out, as the header has them too"]
    kept = made(written(tmp_path, COMMAS.replace(",It", ", It"), "kept.csv"))
    assert [row[1] for row in read(kept)] == [f" {completion}" for _, completion, _ in TABLE]


def test_decimal_commas_between_commas_are_advised(tmp_path: Path) -> None:
    grades = [f"{score:.1f}".replace(".", ",") for *_, score in TABLE]
    rows = "".join(f'{p},{c},"{grade}"\n' for (p, c, _), grade in zip(TABLE, grades, strict=True))
    path = written(tmp_path, f"prompt,completion,score\n{rows}", "my.csv")

    with pytest.raises(DataError) as error:
        read(made(path))
    assert str(error.value).endswith("If commas are decimal marks: 'task.csv.decimal=\",\"'")
    assert read(made(path, csv=CsvConfig(decimal=","))) == TABLE


def test_the_settings_say_more_than_the_header(tmp_path: Path) -> None:
    content = "prompt;completion;score\n" + "".join(f"{p};{c};{s}\n" for p, c, s in TABLE)
    task = made(written(tmp_path, content, "my.csv"), csv=CsvConfig(";", "."))

    assert read(task) == TABLE
    with pytest.raises(ConfigError, match=r"task\.csv\.decimal='x': expected '\.' or ','"):
        read(made(tmp_path / "my.csv", csv=CsvConfig(None, "x")))
    with pytest.raises(ConfigError, match=r"task\.csv\.delimiter='::': expected one character"):
        read(made(tmp_path / "my.csv", csv=CsvConfig("::")))


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (SPREADSHEET.removeprefix("\ufeff").encode("utf-16"), None),
        (SPREADSHEET.encode("utf-16-le"), "utf-16-le"),
        (SPREADSHEET.removeprefix("\ufeff").encode("utf-16-le"), "utf-16-le"),
        (COMMAS.replace("What", "Wás").encode("latin-1"), "latin-1"),
    ],
)
def test_encodings(tmp_path: Path, content: bytes, encoding: str | None) -> None:
    task = made(written(tmp_path, content, "my.csv"), encoding=encoding)

    assert [(p.replace("Wás", "What"), c, s) for p, c, s in read(task)] == TABLE
    assert "text (task.encoding)" in said(task, "read as")[0]


def test_encodings_of_json_lines(tmp_path: Path) -> None:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [ROWS[0] | {"prompt": "é"}, *ROWS[1:]])
    path = written(tmp_path, content.encode("cp1252"), "my.jsonl")

    assert read(made(path, encoding="cp1252"))[0][0] == "é"
    assert read(made(written(tmp_path, content.encode("utf-16"), "wide.jsonl")))[0][0] == "é"
    with pytest.raises(DataError, match=r"1 x not UTF-8 text (.|\n)* for example task\.encoding=cp1252"):
        read(made(path))
    with pytest.raises(ConfigError, match=r"task\.encoding=klingon: unknown"):
        read(made(path, encoding="klingon"))


def test_line_ends_of_old_macs(tmp_path: Path) -> None:
    assert read(made(written(tmp_path, COMMAS.replace("\n", "\r"), "my.csv"))) == TABLE
    assert read(made(written(tmp_path, LINES.replace(b"\n", b"\r"), "my.jsonl"))) == TABLE


QUOTES = [
    ('"He said ""hi""."', 'He said "hi".', []),
    (r'"He said \"hi\", loudly."', 'He said "hi", loudly.', ["1 x rows with quotes escaped by a backslash"]),
    ('"He said \\"hi\\"\nand left."', 'He said "hi"\nand left.', ["1 x rows with quotes escaped by a backslash"]),
    (r'"C:\new\"', "C:\\new\\", []),
    ("a" * 200_000, "a" * 200_000, []),
]


@pytest.mark.parametrize(("text", "completion", "changed"), QUOTES, ids=range(len(QUOTES)))
@pytest.mark.parametrize("delimiter", list(",\t"))
def test_quotes_in_fields(tmp_path: Path, text: str, completion: str, changed: list[str], delimiter: str) -> None:
    lines = [delimiter.join(line) for line in (["prompt", "completion", "score"], ["a", text, "1"], ["b", "c", "2"])]
    name = "my.csv" if delimiter == "," else "my.tsv"
    task = made(written(tmp_path, "\n".join([*lines, f"d{delimiter}e{delimiter}3"]), name))

    assert read(task) == [("a", completion, 1), ("b", "c", 2), ("d", "e", 3)]
    assert said(task, "changed") == changed


def test_quotes_that_are_ordinary_characters_between_tabs(tmp_path: Path) -> None:
    """Also if a later row closes the quote."""
    rows = ["prompt\tcompletion\tscore", '"Hi" there\tHo\t1', 'a\t"open\t2', 'b\t"open" too\t3', "c\td\t4"]
    task = made(written(tmp_path, "\n".join(rows), "my.tsv"))

    assert read(task) == [('"Hi" there', "Ho", 1), ("a", '"open', 2), ("b", '"open" too', 3), ("c", "d", 4)]
    assert said(task, "changed") == ["3 x rows with quotes that are ordinary characters"]


def test_a_quoted_field_between_tabs_may_have_line_breaks(tmp_path: Path) -> None:
    content = 'prompt\tcompletion\tscore\na\t"b\nc"\t1\nd\te\t2\nf\tg\t3\n'

    assert read(made(written(tmp_path, content, "my.tsv")))[0] == ("a", "b\nc", 1)


def test_a_row_with_a_broken_quote_costs_no_other(tmp_path: Path) -> None:
    content = COMMAS + '"a"b,c,1\n"never closed,c,1\nd,e,4\n'
    path = written(tmp_path, content, "my.csv")

    assert read(made(path, on_error="skip")) == [*TABLE, ("d", "e", 4)]
    with pytest.raises(DataError, match=r"2 of 6 rows cannot be used:(.|\n)*my\.csv:5(.|\n)*my\.csv:6"):
        read(made(path))


def test_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    """As pandas writes its index, and spreadsheets the columns after the last."""
    content = ",prompt,completion,score,,\n" + "".join(f"{n},{p},{c},{s},,\n" for n, (p, c, s) in enumerate(TABLE))
    task = made(written(tmp_path, content, "my.csv"))

    assert read(task) == TABLE
    assert said(task, "changed") == ["3 x columns without a name, left out"]


# Broken files


SEEDS = {
    "a.jsonl": LINES,
    "a.json": json.dumps({"n": 1, "data": ROWS}, indent=1).encode(),
    "a.jsonl.gz": gzip.compress(LINES),
    "a.zip": zipped(LINES),
    "a.csv": COMMAS.encode(),
    "sheet.csv": SPREADSHEET.encode(),
    "a.tsv": COMMAS.replace(",", "\t").encode(),
    "ultra.jsonl": json.dumps(ultra(0, 3, 4)).encode(),
    "chat.jsonl": json.dumps(chat(USER, CALLING, ANSWER, tools=[CALL])).encode(),
}
PIECES = [
    b"null",
    b"[]",
    b"{}",
    b"[1]",
    b"1e999",
    b'"',
    b"\\",
    b"\x00",
    b"\xff",
    b"\n",
    b"\r",
    b";",
    b'[{"a": 1}]',
    b"[[[",
]


@pytest.mark.parametrize("name", SEEDS)
def test_whatever_is_broken_ends_in_one_message(tmp_path: Path, name: str) -> None:
    """Twenty times, up to three pieces are replaced, repeated or cut off at random places."""
    draw = random.Random(name)
    for _ in range(20):
        content = bytearray(SEEDS[name])
        for _ in range(draw.randint(1, 3)):
            start, length = draw.randrange(len(content) + 1), draw.choice([0, 1, 9, len(content)])
            content[start : start + length] = draw.choice([*PIECES, b"", bytes(content[:30])])
        task = made(written(tmp_path, bytes(content), name), on_error=draw.choice(["fail", "skip"]))
        with suppress(ConfigError, DataError):
            read(task)
