"""gcsl score: a graded copy of a file, in its format or another."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gcsl_cli.data.input_files import read_rows
from gcsl_cli.errors import ConfigError, DataError, GcslError
from gcsl_cli.stages.score import run

pytestmark = pytest.mark.usefixtures("remembered_composition")
ROWS: list[dict[str, Any]] = [
    {"prompt": "Name a cat.", "completion": "Minka, please.", "id": 1},
    {"prompt": "Name a dog.", "completion": "No “idea”.", "id": 2},
]
WORDS = ["scorer=contains", "scorer.words=[please]"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my = answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def test_every_row_gets_its_grade(file: Path) -> None:
    result = run(str(file), WORDS, None)
    output = file.with_name("my = answers-graded.jsonl")

    assert [row for _, row in read_rows(output)] == [ROWS[0] | {"score": 1.0}, ROWS[1] | {"score": 0.0}]
    assert (result["run"], result["graded"], result["mean"]) == (str(output), 2, 0.5)
    assert ["grades", "mean 0.5, from 0 to 1"] in result["summary"]


@pytest.mark.parametrize("name", ["out.json", "out.csv", "out.tsv", "out.parquet", "new/out.ndjson"])
def test_the_suffix_decides_on_the_format(file: Path, tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    run(str(file), ["scorer=length"], output, "grade")
    rows: Any = (
        pq.read_table(output).to_pylist() if output.suffix == ".parquet" else [row for _, row in read_rows(output)]
    )

    assert [(row["completion"], float(row["grade"]), int(row["id"])) for row in rows] == [
        ("Minka, please.", 2, 1),
        ("No “idea”.", 2, 2),
    ]


def test_what_has_no_grade_has_none_in_the_file(tmp_path: Path) -> None:
    """An empty field of a CSV file; a row that cannot be read is told and left out."""
    path = tmp_path / "a.csv"
    path.write_text("question,answer,reference\nQ,yes,yes\nQ,no,\nQ,,yes\n", encoding="utf-8")
    result = run(str(path), ["scorer=exact_match", "task.on_error=skip"], None)
    with (tmp_path / "a-graded.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))

    assert [(row["answer"], row["score"]) for row in rows] == [("yes", "1.0"), ("no", "")]
    assert (result["ungraded"], result["reasons"], result["left_out"]) == (1, {"no reference": 1}, 1)


@pytest.mark.parametrize("name", ["out.jsonl", "out.json"])
def test_what_json_cannot_hold_is_null(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "Q", "completion": "A", "x": NaN, "y": {"z": [1.5, -Infinity]}}\n', encoding="utf-8")
    run(str(path), ["scorer=length"], tmp_path / name)

    text = (tmp_path / name).read_text(encoding="utf-8")
    loaded = json.loads(text, parse_constant=pytest.fail)
    row = loaded[0] if name == "out.json" else loaded
    assert (row["x"], row["y"], row["score"]) == (None, {"z": [1.5, None]}, 1.0)


def test_objects_and_lists_are_json_in_a_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "Q", "completion": "A", "tags": ["é", null], "about": {"id": 7}}\n', encoding="utf-8")
    run(str(path), ["scorer=length"], tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream)

    assert (json.loads(row["tags"]), json.loads(row["about"])) == (["é", None], {"id": 7})


def test_one_scorer_grades_at_a_time(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"^scorer=length,contains: gcsl score grades with one scorer\. Run it once"):
        run(str(file), ["scorer=length,contains"], None)


def test_an_interruption_loses_no_grade(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function is called on the first row only once, although it fails on the second."""
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "cache"))
    calls = tmp_path / "calls"
    code = f"""
from pathlib import Path
def reward(prompts, completions):
    with open({str(calls)!r}, "a") as stream:
        stream.write(completions[0] + ";")
    if "No" in completions[0] and not Path({str(tmp_path / "repaired")!r}).exists():
        raise KeyboardInterrupt
    return [1.0] * len(completions)
"""
    (tmp_path / "rewards.py").write_text(code, encoding="utf-8")
    lines = ["scorer=python", f"scorer.function={tmp_path}/rewards.py:reward", "allow_custom_code=true"]
    with pytest.raises(KeyboardInterrupt):
        run(str(file), [*lines, "scorer.batch_size=1"], None)
    (tmp_path / "repaired").touch()

    assert run(str(file), [*lines, "scorer.batch_size=1"], None)["graded"] == 2
    assert calls.read_text(encoding="utf-8") == "Minka, please.;No “idea”.;No “idea”.;"


@pytest.mark.parametrize(
    ("lines", "options", "said"),
    [
        (["seed=1"], {}, "seed=1: gcsl score takes one file, a scorer, its settings and how the file is read"),
        (["task=toxicity"], {}, "task=toxicity: gcsl score takes one file"),
        (["other.jsonl"], {}, "other.jsonl: gcsl score takes one file"),
        ([], {}, "No scorer is chosen. Give scorer=NAME"),
        (["scorer=contains"], {}, "looks for words or for a pattern"),
        (["scorer=exact_match"], {}, "compares with reference answers"),
        (WORDS, {"column": " "}, "--column: the name is empty."),
        (WORDS, {"column": "id"}, "has a column id already. Name another one: --column NAME."),
        (WORDS, {"output": Path("a.xlsx")}, "--output a.xlsx: unknown format. Supported: .jsonl"),
    ],
)
def test_a_mistake_is_explained_and_writes_nothing(
    file: Path, lines: list[str], options: dict[str, Any], said: str
) -> None:
    before = sorted(file.parent.iterdir())
    with pytest.raises(GcslError) as error:
        run(str(file), lines, **{"output": None, **options})
    assert said in str(error.value)
    assert sorted(file.parent.iterdir()) == before


def test_the_file_itself_is_never_overwritten(file: Path) -> None:
    with pytest.raises(ConfigError, match="that is the file to grade"):
        run(str(file), WORDS, file)


def test_a_file_without_one_grade_is_not_written(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "rewards.py").write_text("def none(completions):\n    return [None] * len(completions)\n")
    lines = ["scorer=python", f"scorer.function={tmp_path}/rewards.py:none", "allow_custom_code=true"]
    with pytest.raises(DataError, match="none of 2 completions has a grade: 2 x the function has no grade"):
        run(str(file), lines, None)
    assert not list(tmp_path.glob("*-graded*"))


@pytest.mark.parametrize(("value", "name"), [(10**30, "a.parquet"), ("\ud800", "a.jsonl")])
def test_what_cannot_be_written_is_told_before_anything_is_graded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, name: str
) -> None:
    path = tmp_path / "my.jsonl"
    path.write_text(json.dumps(ROWS[0] | {"note": value}) + "\n", encoding="utf-8")
    monkeypatch.setattr("gcsl_cli.scorers.contains.ContainsScorer.grade", lambda *_: pytest.fail("graded"))

    with pytest.raises(DataError, match=r"cannot be written as Parquet|not valid Unicode"):
        run(str(path), WORDS, tmp_path / name)


def test_a_file_of_the_folder_is_never_overwritten(file: Path) -> None:
    with pytest.raises(ConfigError, match="or in its folder"):
        run(str(file.parent), WORDS, file)


def test_names_with_dots_keep_their_parts(file: Path) -> None:
    dotted = file.rename(file.with_name("v1.answers.jsonl"))

    assert run(str(dotted), WORDS, None)["run"] == str(file.with_name("v1.answers-graded.jsonl"))


PARTS = [
    "scorer=weighted",
    "+scorer.parts.polite={_target_: gcsl_cli.scorers.contains.ContainsScorer, words: [please]}",
    "+scorer.parts.words={_target_: gcsl_cli.scorers.length.LengthScorer}",
    "+scorer.ranges.words=[0,4]",
]


def test_each_part_of_a_weighted_scorer_has_a_column(file: Path) -> None:
    """They are what task=feedback reads as several scores: two words each, so 0.5 of 4 words."""
    run(str(file), PARTS, None)
    rows = [row for _, row in read_rows(file.with_name("my = answers-graded.jsonl"))]

    assert rows[0] == ROWS[0] | {"score": 0.75, "polite": 1.0, "words": 2.0}
    assert rows[1] == ROWS[1] | {"score": 0.25, "polite": 0.0, "words": 2.0}


def test_a_part_that_is_a_column_already_is_refused(file: Path) -> None:
    part = "+scorer.parts.id={_target_: gcsl_cli.scorers.wordlist.WordListScorer}"
    with pytest.raises(ConfigError, match=r"has a column id already\. Rename the part of the scorer"):
        run(str(file), [*PARTS, part], None)
