"""A user's own file: finding columns, reading values, splitting, and errors for broken files."""

import gzip
import io
import json
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gcsl_cli.data.records import FeedbackRow, FeedbackRows, Prompt
from gcsl_cli.data.splits import SplitConfig, prompt_id, split_prompts
from gcsl_cli.errors import ArtifactError, ConfigError, DataError, GcslError
from gcsl_cli.scorers.length import LengthScorer
from gcsl_cli.tasks.feedback.columns import ColumnsConfig
from gcsl_cli.tasks.feedback.task import FeedbackTask

PROMPTS = [f"What is {number}?" for number in range(30)]
ROWS: list[dict[str, Any]] = [
    {"prompt": prompt, "completion": f"It is {number}.", "score": number % 5} for number, prompt in enumerate(PROMPTS)
]
SPLIT = SplitConfig(minimum=3)


def jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def csv(rows: list[list[str]]) -> bytes:
    return "".join(",".join(row) + "\n" for row in rows).encode()


def task(path: Path, **changes: Any) -> FeedbackTask:
    columns = ColumnsConfig(**{key: changes.pop(key) for key in ("prompt", "completion", "score") if key in changes})
    return FeedbackTask(path=str(path), columns=columns, **({"split": SPLIT} | changes))


def written(folder: Path, content: bytes, name: str = "my.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read(made: FeedbackTask, folder: Path | None = None) -> FeedbackRows:
    return made.graded_rows(no_rollouts, folder)


def no_rollouts(*_: Any) -> Any:
    raise AssertionError("nothing is sampled from a file")


# Reading


def test_rows_with_their_splits(tmp_path: Path) -> None:
    rows = read(task(written(tmp_path, jsonl(ROWS))))

    splits = {prompt.prompt_id: prompt.split for prompt in split_prompts(PROMPTS, SPLIT)}
    assert list(rows) == [
        FeedbackRow(p, f"It is {n}.", n % 5, prompt_id(p), splits[prompt_id(p)], True, f"my.jsonl:{n + 1}")
        for n, p in enumerate(PROMPTS)
    ]
    assert set(splits.values()) == {"train", "validation", "test"}


def test_truncated_completions_are_not_finished(tmp_path: Path) -> None:
    assert not any(row.finished for row in read(task(written(tmp_path, jsonl(ROWS)), finished=False)))


@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_a_grade_that_is_better_when_lower_is_negated(tmp_path: Path, direction: str) -> None:
    made = task(written(tmp_path, jsonl(ROWS)), score_direction=direction)
    rows = read(made)
    scale = made.grade_scale(rows)

    sign = -1 if direction == "lower" else 1
    assert rows.scores.tolist() == [sign * (number % 5) for number in range(30)]
    assert (scale.low, scale.high, scale.lower_is_better) == (0, 4, direction == "lower")
    assert [scale.grade(score) for score in rows.scores[:3]] == [0, 1, 2]


@pytest.mark.parametrize("prompt", ["prompt", "instruction", "Question", "INPUT"])
@pytest.mark.parametrize("completion", ["completion", "Response", "output", "answer"])
@pytest.mark.parametrize("score", ["score", "rating", "reward", "Grade", "label"])
def test_columns_by_their_usual_names(tmp_path: Path, prompt: str, completion: str, score: str) -> None:
    rows = [{"id": 7, prompt: r["prompt"], completion: r["completion"], score: r["score"]} for r in ROWS]
    made = task(written(tmp_path, jsonl(rows)))

    assert read(made)[3].completion == "It is 3."
    assert made.overview()[1] == ["columns", f"prompt={prompt}, completion={completion}, score={score}"]
    assert made.grade_scale(read(made)).name == "quality"


def test_configured_columns_and_values_inside_an_object(tmp_path: Path) -> None:
    rows = [{"q": r["prompt"], "a": r["completion"], "scores": {"help_fulness": r["score"]}} for r in ROWS]
    made = task(written(tmp_path, jsonl(rows)), prompt="q", completion="a", score="scores.help_fulness")

    assert read(made).scores.tolist() == [row["score"] for row in ROWS]
    assert made.grade_scale(read(made)).name == "help fulness"


def test_the_scale_and_its_name_are_configurable(tmp_path: Path) -> None:
    made = task(written(tmp_path, jsonl(ROWS)), scale=[-1.0, 10.0], score_name="wit")

    assert (made.grade_scale(read(made)).name, made.grade_scale(read(made)).low) == ("wit", -1.0)


@pytest.mark.parametrize(
    ("value", "grade"), [(True, 1), (False, 0), ("4", 4), (" 4.5 ", 4.5), ("1e2", 100), (-3, -3), (0.25, 0.25)]
)
def test_numbers_booleans_and_numeric_text_are_grades(tmp_path: Path, value: Any, grade: float) -> None:
    rows = [*ROWS, {"prompt": "x", "completion": "y", "score": value}]

    assert read(task(written(tmp_path, jsonl(rows)))).scores[-1] == grade


def test_csv_with_line_breaks_quotes_and_a_byte_order_mark(tmp_path: Path) -> None:
    body = "".join(f'"What is\n{n}, really?","He said ""{n}"".",{n % 5}\n' for n in range(30))
    path = written(tmp_path, ("\ufeffprompt,completion,score\n" + body).encode(), "my.csv")
    rows = read(task(path))

    assert (rows[3].prompt, rows[3].completion, rows[3].score) == ("What is\n3, really?", 'He said "3".', 3)


def test_all_formats_give_the_same_rows(tmp_path: Path) -> None:
    tab = csv([["prompt", "completion", "score"], *[[r["prompt"], r["completion"], str(r["score"])] for r in ROWS]])
    paths = [
        written(tmp_path, tab.replace(b",", b"\t"), "my.tsv"),
        written(tmp_path, b"\xef\xbb\xbf" + jsonl(ROWS).replace(b"\n", b"\r\n"), "my.json"),
        tmp_path / "my.parquet",
    ]
    pq.write_table(pa.Table.from_pylist(ROWS), paths[-1])

    def texts(path: Path) -> list[tuple[str, str, float]]:
        return [(row.prompt, row.completion, row.score) for row in read(task(path))]

    expected = texts(written(tmp_path, jsonl(ROWS)))
    assert all(texts(path) == expected for path in paths)


def test_a_folder_is_read_in_the_order_of_its_files(tmp_path: Path) -> None:
    written(tmp_path, jsonl(ROWS[20:]), "b.jsonl")
    (tmp_path / "a").mkdir()
    written(tmp_path / "a", jsonl(ROWS[:20]), "z.jsonl")
    written(tmp_path, b"not data", "README.md")

    assert read(task(tmp_path)).scores.tolist() == [row["score"] for row in ROWS]
    assert len(read(task(tmp_path, files="a/*.jsonl"))) == 20


def test_chunk_size_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(read(task(written(tmp_path, jsonl(ROWS)))))
    for chunk in (1, 7, 30):
        monkeypatch.setattr("gcsl_cli.tasks.feedback.graded_file.CHUNK", chunk)
        assert list(read(task(tmp_path / "my.jsonl"))) == whole


def test_a_broken_first_line_after_a_byte_order_mark(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf{broken\n" + jsonl(ROWS)

    with pytest.raises(DataError, match=r"1 x not valid JSON .*: my\.jsonl:1 line=\"\{broken\""):
        read(task(written(tmp_path, content)))


def test_a_hub_data_set_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The config selects among the files that the Hub client downloaded."""
    asked: list[Any] = []

    def fetched(uri: str, revision: str | None) -> Path:
        asked.append((uri, revision))
        return tmp_path

    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "data" / "train-00000.parquet")
    pq.write_table(pa.Table.from_pylist(ROWS[:2]), tmp_path / "data" / "test-00000.parquet")
    monkeypatch.setattr("gcsl_cli.data.artifacts.resolve_hub", fetched)
    made = FeedbackTask(path="hf://datasets/owner/name", revision="v1", files="data/train-*.parquet", split=SPLIT)

    assert len(read(made)) == 30
    assert set(asked) == {("hf://datasets/owner/name", "v1")}
    assert made.feedback_name() == "name"


# Conversations


def turns(*contents: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(contents)]


def test_whole_conversations(tmp_path: Path) -> None:
    """The last message is the completion."""
    rows = [{"messages": turns("Hi", "Ho", prompt, "Yes."), "rating": n % 5} for n, prompt in enumerate(PROMPTS)]
    made = task(written(tmp_path, jsonl(rows)))
    first = read(made)[0]

    assert (json.loads(first.prompt), first.completion) == (turns("Hi", "Ho", PROMPTS[0]), "Yes.")
    assert made.prompt_format() == "messages"


@pytest.mark.parametrize("completion", ["Yes.", [{"role": "assistant", "content": "Yes."}]])
def test_messages_with_a_separate_completion(tmp_path: Path, completion: Any) -> None:
    rows = [{"prompt": turns(p), "completion": completion, "score": n % 5} for n, p in enumerate(PROMPTS)]
    made = task(written(tmp_path, jsonl(rows)))

    assert (json.loads(read(made)[0].prompt), read(made)[0].completion) == (turns(PROMPTS[0]), "Yes.")


def test_format_depends_on_the_file_and_the_config(tmp_path: Path) -> None:
    texts = written(tmp_path, jsonl(ROWS))
    chats = written(tmp_path, jsonl([{"messages": turns("a", "b"), "score": 1}]), "chats.jsonl")

    assert [task(texts, format=name).prompt_format() for name in ("auto", "plain", "chat")] == ["chat", "plain", "chat"]
    assert [task(chats, format=name).prompt_format() for name in ("auto", "chat")] == ["messages"] * 2
    with pytest.raises(ConfigError, match=r"task\.format=plain: .* holds lists of chat messages"):
        task(chats, format="plain").prompt_format()
    with pytest.raises(ConfigError, match=r"task\.instruction='Say: \{prompt\}'"):
        task(chats, instruction="Say: {prompt}").prompt_format()


def test_nothing_is_sampled_or_scored_by_default(tmp_path: Path) -> None:
    made = task(written(tmp_path, jsonl(ROWS)), sentences=["Bad.", "Good."], levels=[3.0])

    assert (made.evaluation_keys(), made.rollouts_planned()) == ({"version": 1, "scorer": None}, 0)


# Overview and evaluation


def test_the_overview_counts_prompts_with_several_grades(tmp_path: Path) -> None:
    """One prompt has two grades, another the same one twice."""
    again = [ROWS[3] | {"score": 9}, ROWS[4]]
    made = task(written(tmp_path, jsonl([*ROWS, *again])))
    read(made)

    assert made.overview()[0][1].endswith("my.jsonl: 32 rows (JSON, UTF-8)")
    assert made.overview()[2] == ["prompts", "30, 1 of them with several grades"]


def test_evaluation_prompts_come_from_the_test_split(tmp_path: Path) -> None:
    made = task(written(tmp_path, jsonl([*ROWS, *ROWS])), test_prompts=2)
    prompts = split_prompts(PROMPTS, SPLIT)

    assert made.evaluation_prompts(read(made)) == [prompt for prompt in prompts if prompt.split == "test"][:2]
    held_out = [prompt for prompt in prompts if prompt.split == "validation"]
    assert made.evaluation_prompts(read(made), "validation") == held_out[:2]
    assert [prompt.source for prompt in made.evaluation_prompts(read(made))] == [
        f"my.jsonl:{PROMPTS.index(prompt.text) + 1}" for prompt in prompts if prompt.split == "test"
    ][:2]
    unsplit = FeedbackTask(path=made.path, split=SplitConfig(test=0, validation=0))
    assert unsplit.evaluation_prompts(read(unsplit)) == []


def test_a_scorer_grades_on_the_scale_of_the_file(tmp_path: Path) -> None:
    made = task(written(tmp_path, jsonl(ROWS)), score_direction="lower", scorer=LengthScorer(unit="characters"))
    prompt = Prompt("1", "Hi", "test")

    assert made.score([prompt, prompt], ["abc", "abcde"]).tolist() == [-3, -5]
    assert made.metrics([prompt], [["abc", "abcde"]])["mean_grade"].numerator.tolist() == [4.0]
    assert [column.better for column in made.result_columns()] == ["lower"]


def test_identity_depends_on_the_content(tmp_path: Path) -> None:
    path = written(tmp_path, jsonl(ROWS))
    keys = task(path).feedback_keys({})
    path.write_bytes(jsonl(ROWS[1:]))

    assert task(path).feedback_keys({}) != keys
    assert task(path, score_direction="lower").feedback_keys({}) != task(path).feedback_keys({})
    assert (task(path).feedback_name(), task(tmp_path / "A b--c.d.jsonl").feedback_name()) == ("my", "a-b-c-d")


# Bad rows


FAULTS = [
    ({"completion": "b", "score": 1}, "prompt is missing"),
    ({"prompt": None, "completion": "b", "score": 1}, "prompt is missing"),
    ({"prompt": " \n", "completion": "b", "score": 1}, "prompt is empty"),
    ({"prompt": 3, "completion": "b", "score": 1}, "prompt is not text"),
    ({"prompt": turns("a"), "completion": "b", "score": 1}, "prompt is a list of messages, but the file starts"),
    ({"prompt": "half \ud800 of one", "completion": "b", "score": 1}, "prompt is not valid Unicode"),
    ({"prompt": "a", "completion": "\udfff", "score": 1}, "completion is not valid Unicode"),
    ({"prompt": "a", "score": 1}, "completion is missing"),
    ({"prompt": "a", "completion": "", "score": 1}, "completion is empty"),
    ({"prompt": "a", "completion": {"text": "b"}, "score": 1}, "completion is not text"),
    ({"prompt": "a", "completion": [], "score": 1}, "completion is empty"),
    ({"prompt": "a", "completion": turns("u"), "score": 1}, "completion is not a single assistant message"),
    ({"prompt": "a", "completion": "b"}, "score is missing"),
    ({"prompt": "a", "completion": "b", "score": None}, "score is missing"),
    ({"prompt": "a", "completion": "b", "score": ""}, "score is missing"),
    ({"prompt": "a", "completion": "b", "score": "good"}, "score is not a number"),
    ({"prompt": "a", "completion": "b", "score": [1]}, "score is not a number"),
    ({"prompt": "a", "completion": "b", "score": "nan"}, "score is not a finite number"),
    ({"prompt": "a", "completion": "b", "score": 10**400}, "score is not a finite number"),
    ({"prompt": "a", "completion": "b", "score": 11}, "grade outside task.scale"),
    (["a", "b", 1], "not a JSON object"),
    ("text", "not a JSON object"),
    (None, "not a JSON object"),
]
CHAT_FAULTS = [
    ({"messages": turns("a"), "score": 1}, "conversation does not end with the assistant"),
    ({"messages": turns("a", "b", "c"), "score": 1}, "conversation does not end with the assistant"),
    ({"messages": [], "score": 1}, "messages is empty"),
    ({"messages": None, "score": 1}, "messages is missing"),
    ({"messages": "a", "score": 1}, "messages is not a list of messages, but the file"),
    ({"messages": [{"role": "assistant", "content": "b"}], "score": 1}, "prompt does not end with the user"),
    ({"messages": [*turns("a", "b"), *turns("", "c")[1:]], "score": 1}, "prompt does not end with the user"),
    (
        {"messages": [{"role": "robot", "content": "a"}, *turns("", "b")[1:]], "score": 1},
        "message role is none",
    ),
    ({"messages": [{"content": "a"}, *turns("", "b")[1:]], "score": 1}, "message role is none"),
    ({"messages": ["a", "b"], "score": 1}, "message role is none"),
    ({"messages": turns(" ", "b"), "score": 1}, "message without text"),
    ({"messages": [{"role": "user", "content": [1]}, *turns("", "b")[1:]], "score": 1}, "message without text"),
]


@pytest.mark.parametrize(("row", "kind"), FAULTS)
def test_a_bad_row_is_reported_with_its_location(tmp_path: Path, row: Any, kind: str) -> None:
    rows = [*ROWS[:5], row, *ROWS[5:]]

    with pytest.raises(DataError) as error:
        read(task(written(tmp_path, jsonl(rows)), scale=[0.0, 10.0]))
    assert "1 of 31 rows cannot be used" in str(error.value)
    assert f"1 x {kind}" in str(error.value)
    assert "my.jsonl:6" in str(error.value)
    assert "task.on_error=skip" in str(error.value)


@pytest.mark.parametrize(("row", "kind"), CHAT_FAULTS)
def test_a_bad_conversation_is_reported_with_its_location(tmp_path: Path, row: Any, kind: str) -> None:
    rows = [*[{"messages": turns(prompt, "Yes."), "score": n % 5} for n, prompt in enumerate(PROMPTS)], row]

    with pytest.raises(DataError, match=rf"1 x {kind}.*: my\.jsonl:31"):
        read(task(written(tmp_path, jsonl(rows))))


def test_the_first_row_may_be_bad(tmp_path: Path) -> None:
    """Columns are found from the first rows together."""
    with pytest.raises(DataError, match=r"1 of 31 rows .*\n  1 x completion is missing: my\.jsonl:1"):
        read(task(written(tmp_path, jsonl([{"prompt": "a", "score": 1}, *ROWS]))))


def test_bad_rows_are_grouped_by_kind_with_counts_and_locations(tmp_path: Path) -> None:
    broken = [{"prompt": "a", "completion": "b", "score": f"n/a {n}"} for n in range(5)]
    content = jsonl(ROWS) + jsonl(broken) + b'{"prompt": \n' + b'\xff\xfe{"a": 1}\n' + b"\n   \n" + b'{"a": NaN}\n'

    with pytest.raises(DataError) as error:
        read(task(written(tmp_path, content)))
    text = str(error.value)
    assert "8 of 38 rows cannot be used" in text
    places = ", ".join(f'my.jsonl:{31 + n} score="n/a {n}"' for n in range(3))
    assert f"\n  5 x score is not a number: {places}\n" in text
    assert "1 x not valid JSON (Expecting value): my.jsonl:36" in text
    assert "1 x not UTF-8 text (invalid start byte): my.jsonl:37" in text
    assert "1 x score is missing: my.jsonl:40" in text


def test_skipped_rows_are_recorded_with_reasons(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "gcsl")
    broken = {"prompt": "a", "completion": "b", "score": "n/a"}
    folder = tmp_path / "feedback"
    made = task(written(tmp_path, jsonl([*ROWS, broken]) + b"{\n"), on_error="skip")

    assert len(read(made, folder)) == 30
    rejected = [json.loads(line) for line in (folder / "rejected.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(entry["line"], entry["reason"]) for entry in rejected] == [
        (31, "score is not a number"),
        (32, "not valid JSON (Expecting property name enclosed in double quotes)"),
    ]
    assert rejected[0] == {
        "file": "my.jsonl",
        "line": 31,
        "reason": "score is not a number",
        "column": "score",
        "value": "n/a",
        "row": broken,
    }
    assert "skipped 2 of 32 rows" in caplog.text
    assert ["left out", '1 x score is not a number: my.jsonl:31 score="n/a"'] in made.overview()


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, jsonl([*ROWS, {}]))

    assert len(read(task(path, on_error="skip"), None)) == 30
    assert list(tmp_path.iterdir()) == [path]


def test_skipping_every_row_is_an_error(tmp_path: Path) -> None:
    rows = [row | {"score": "bad"} for row in ROWS]

    with pytest.raises(DataError, match=r"30 of 30 rows cannot be used(.|\n)*No usable rows are left"):
        read(task(written(tmp_path, jsonl(rows)), on_error="skip"))


def test_csv_rows_with_the_wrong_number_of_fields(tmp_path: Path) -> None:
    """The third row starts at line 5, because a field of the second has a line break."""
    content = b'prompt,completion,score\na,b,1\n"c\nd",e,2\nf,g\n\nh,i,3,4\n'

    with pytest.raises(DataError) as error:
        read(task(written(tmp_path, content, "my.csv")))
    assert "1 x 2 fields where the header has 3: my.csv:5" in str(error.value)
    assert "1 x 4 fields where the header has 3: my.csv:7" in str(error.value)


# Broken files


def parquet(folder: Path) -> bytes:
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "whole.parquet")
    return (folder / "whole.parquet").read_bytes()


def without_rows(folder: Path) -> bytes:
    pq.write_table(pa.Table.from_pylist(ROWS).slice(0, 0), folder / "none.parquet")
    return (folder / "none.parquet").read_bytes()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


Content = bytes | Callable[[Path], bytes]
BROKEN: list[tuple[str, Content, str]] = [
    ("empty.jsonl", b"", "the file is empty"),
    ("blank.jsonl", b" \n\n \n", "the file is empty"),
    ("empty.csv", b"", "the file is empty"),
    ("empty.parquet", b"", "the file is empty"),
    ("zeros.jsonl", b"\x00" * 100, "binary data; expected JSON lines"),
    ("zeros.csv", b"a,b\x00,c\n", "binary data; expected CSV"),
    ("cut.jsonl.gz", gzip.compress(jsonl(ROWS))[:-9], "cannot be unpacked as gzip"),
    ("gzip.csv", b"\x1f\x8b\x00rest", "cannot be unpacked as gzip"),
    ("zip.csv", b"PK\x03\x04rest", "cannot be unpacked as zip"),
    (
        "sheet.csv",
        zipped({"[Content_Types].xml": b"<x/>", "xl/a.csv": b"a"}),
        "this is a spreadsheet. Export it as CSV",
    ),
    ("two.zip", zipped({"a.csv": b"a,b\n", "b.csv": b"a,b\n"}), "the archive has 2 data files (a.csv, b.csv)"),
    ("none.zip", zipped({"a.txt": b"a"}), "the archive has 0 data files (a.txt)"),
    ("bzip2.jsonl", b"BZh91AY", "cannot be unpacked as bzip2"),
    ("xz.jsonl", b"\xfd7zXZ\x00", "cannot be unpacked as xz"),
    ("zstd.jsonl", b"\x28\xb5\x2f\xfdrest", "cannot be unpacked as zstd"),
    ("sqlite.csv", b"SQLite format 3\x00", "an SQLite database"),
    ("utf16.jsonl", jsonl(ROWS).decode().encode("utf-16-le"), "binary data; expected JSON lines. If it is text, name"),
    ("arrow.parquet", b"ARROW1\x00\x00", "an Arrow file; save it as Parquet"),
    ("cut-array.json", json.dumps(ROWS).encode()[:-1], "cut-array.json:1: not valid JSON (expected ']', found the end"),
    ("comma.json", b'[\n{"prompt": "a"},\n]', "comma.json:3: not valid JSON (Expecting value"),
    ("twice.json", b"[{}]\n[{}]", "twice.json:2: not valid JSON (expected the end of the file, found '['"),
    (
        "no-list.json",
        json.dumps(ROWS[0], indent=2).encode(),
        "one JSON object, and none of its keys holds a list of rows",
    ),
    ("train-test.json", json.dumps({"train": ROWS, "test": ROWS}).encode(), "for example task.rows_key=train"),
    ("parquet.jsonl", parquet, "this is a Parquet file"),
    ("jsonl.parquet", jsonl(ROWS), "not a Parquet file"),
    ("cut.parquet", lambda folder: parquet(folder)[:-50], "cannot be read as Parquet"),
    ("head.parquet", b"PAR1", "cannot be read as Parquet"),
    ("no-rows.parquet", without_rows, "the file has no rows"),
    ("table.xlsx", b"PK\x03\x04", "unsupported file type '.xlsx'. Supported: .jsonl"),
    ("data", b"{}", "the file name has no suffix. Supported"),
    ("text.txt", b"prompt", "unsupported file type '.txt'"),
    ("prose.jsonl", b"Dear user,\nthis is no JSON.\n", "not one row can be read"),
    ("numbers.jsonl", b"1\n2\n", "not one row can be read"),
    ("latin1.jsonl", '{"prompt": "é"}'.encode("latin-1"), "not one row can be read"),
    ("header-only.csv", b"prompt,completion,score\n", "the file has no rows"),
    ("no-header.csv", b"What is 1?,It is 1.,4\n", "no header: What is 1?, It is 1., 4"),
    ("doubled.csv", b"prompt,score,score\na,1,2\n", "the header has 'score' twice"),
    ("unnamed.csv", b",,\n0,a,b\n", "no header"),
    (
        "latin1.csv",
        "prompt,completion,score\né,b,1\n".encode("latin-1"),
        "latin1.csv:2: not UTF-8 text (invalid continuation byte). Save it as UTF-8, or name its encoding",
    ),
    ("quote.csv", b'prompt,completion,score\n"a"b,c,1\n', "1 x not valid CSV (',' expected after '\"'): quote.csv:2"),
    ("open-quote.csv", b'prompt,completion,score\n"a,b,1\n', "not valid CSV (unexpected end of data)"),
    ("decimal.csv", b"prompt;completion;score\na;b;1.5.2,5,5\n", "score is not a number: decimal.csv:2"),
    ("no-score.jsonl", jsonl([{"prompt": "a", "completion": "b"}]), "no score column found"),
    ("no-prompt.jsonl", jsonl([{"completion": "b", "score": 1}]), "no prompt column found"),
    ("no-answer.jsonl", jsonl([{"prompt": "a", "score": 1}]), "no completion column found"),
    ("no-names.jsonl", jsonl([{"a": 1}]), "Its columns: a. Set task.columns.completion=NAME"),
    (
        "two-prompts.jsonl",
        jsonl([{"instruction": "a", "question": "b", "output": "c", "score": 1}]),
        "instruction and question could each be the prompt. Choose one, for example task.columns.prompt=instruction",
    ),
    ("two-scores.jsonl", jsonl([ROWS[0] | {"rating": 1}]), "score and rating could each be the score"),
    ("few.jsonl", jsonl(ROWS[:5]), "There are 5 distinct prompts; 3 splits of at least 3 need 9"),
]


@pytest.mark.parametrize(("name", "content", "said"), BROKEN, ids=[name for name, _, _ in BROKEN])
def test_a_broken_file_is_refused(tmp_path: Path, name: str, content: Content, said: str) -> None:
    path = written(tmp_path, content(tmp_path) if callable(content) else content, name)

    with pytest.raises(GcslError) as error:
        read(task(path))
    assert said in str(error.value)
    assert name in str(error.value) or "distinct prompts" in said
    assert error.value.exit_code == 2


def test_there_are_forty_broken_files() -> None:
    assert len(BROKEN) >= 40


def test_a_missing_file_and_unusable_folders(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none\.jsonl: no such file"):
        read(task(tmp_path / "none.jsonl"))
    with pytest.raises(DataError, match="the folder contains no data files"):
        read(task(tmp_path))
    written(tmp_path, jsonl(ROWS))
    written(tmp_path, b"a,b\n", "my.csv")
    with pytest.raises(DataError, match=r"mixes file types \(\.csv, \.jsonl\).*task\.files='\*\*/\*\.csv'"):
        read(task(tmp_path))
    with pytest.raises(DataError, match=r"no data file matches task\.files=\*\.parquet"):
        read(task(tmp_path, files="*.parquet"))


def test_a_missing_column_suggests_a_similar_one(tmp_path: Path) -> None:
    path = written(tmp_path, jsonl([row | {"scores": {"help": 1}} for row in ROWS]))

    with pytest.raises(ConfigError, match=r"task\.columns\.prompt=promt: .* has no such column\. Did you mean prompt"):
        read(task(path, prompt="promt"))
    with pytest.raises(ConfigError, match=r"Did you mean scores\.help\?"):
        read(task(path, score="scores.halp"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"score_direction": "up"}, "task.score_direction=up: unknown. Allowed: higher, lower"),
        ({"on_error": "ignore"}, "task.on_error=ignore: unknown. Allowed: fail, skip"),
        ({"format": "html"}, "task.format=html: unknown. Allowed: auto, plain, chat"),
        ({"scale": [5.0, 1.0]}, "task.scale=[5.0, 1.0]: expected the lowest and highest grade"),
        ({"scale": [1.0]}, "expected the lowest and highest grade"),
        ({"test_prompts": 0}, "task.test_prompts=0: must be at least 1"),
    ],
)
def test_invalid_settings_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        task(written(tmp_path, jsonl(ROWS)), **changes).rollouts_planned()
    assert said in str(error.value)
