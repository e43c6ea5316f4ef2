"""The rating log: every rule for unusual rows, and errors with locations."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.tasks.recommendation.rating_files import rating_files
from gcsl_cli.tasks.recommendation.rating_log import (
    ItemColumns,
    RatingColumns,
    RatingLog,
    Titles,
    read_log,
    read_titles,
)

NAMES = RatingColumns("user", "item", "rating", "time", None)


def written(folder: Path, text: str, name: str = "ratings.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def titles(**texts: str) -> Titles:
    made = Titles()
    for item, text in texts.items():
        made.add(item, text)
    return made


def read(path: Path, known: Titles | None = None, fewest: int = 1, names: RatingColumns = NAMES) -> RatingLog:
    known = known or titles(a="A", b="B", c="C")
    return read_log([path], names, known if names.title is None else None, (1.0, 5.0), fewest=fewest)


def by_user(log: RatingLog) -> dict[str, list[tuple[str, float]]]:
    return {
        user: [
            (log.titles[item], rating)
            for item, rating in zip(
                log.items[log.of_user(place)].tolist(), log.ratings[log.of_user(place)].tolist(), strict=True
            )
        ]
        for place, user in enumerate(log.users)
    }


def test_order_by_time_then_file_with_missing_times_first(tmp_path: Path) -> None:
    path = written(tmp_path, "user,item,rating,time\n2,a,3,9\n1,c,1,5\n1,b,2,5\n1,a,4,\n2,b,5,1\n")
    log = read(path)
    assert by_user(log) == {"2": [("B", 5), ("A", 3)], "1": [("A", 4), ("C", 1), ("B", 2)]}
    assert log.rule_counts["ratings without a timestamp, placed first"] == 1


def test_file_order_without_a_time_column(tmp_path: Path) -> None:
    path = written(tmp_path, "user,item,rating\n1,c,1\n1,b,2\n")
    assert by_user(read(path, names=RatingColumns("user", "item", "rating", None, None))) == {"1": [("C", 1), ("B", 2)]}


def test_the_newest_rating_of_an_item_counts(tmp_path: Path) -> None:
    path = written(tmp_path, "user,item,rating,time\n1,a,5,9\n1,b,3,2\n1,a,1,1\n")
    log = read(path)
    assert by_user(log) == {"1": [("B", 3), ("A", 5)]}
    assert log.rule_counts["ratings replaced by a newer one"] == 1


def test_items_with_the_same_title_are_one_item(tmp_path: Path) -> None:
    """The titles of `a` and `b` differ only in case and spaces, so the user rated one item twice."""
    path = written(tmp_path, "user,item,rating,time\n1,a,5,1\n1,b,2,2\n1,c,3,3\n")
    log = read(path, titles(a="Heat (1995)", b="HEAT  (1995)", c="Fargo"))
    assert by_user(log) == {"1": [("Heat (1995)", 2), ("Fargo", 3)]}
    assert log.rule_counts["items merged with another of the same title"] == 1


def test_untitled_items_and_short_histories_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, "user,item,rating,time\n1,a,5,1\n1,x,2,2\n1,c,3,3\n2,a,1,1\n2,y,1,2\n")
    log = read(path, fewest=2)
    assert by_user(log) == {"1": [("A", 5), ("C", 3)]}
    assert log.rule_counts["ratings of items without a title, left out"] == 2
    assert log.rule_counts["users with fewer than 2 ratings, left out"] == 1


def test_titles_in_the_ratings_file(tmp_path: Path) -> None:
    path = written(
        tmp_path, 'user,item,rating,time,title\n1,a,5,1,"Usual Suspects, The (1995)"\n1,b,2,2,\n1,c,4,3,Heat\n'
    )
    log = read(path, names=RatingColumns("user", "item", "rating", "time", "title"))
    assert by_user(log) == {"1": [("Usual Suspects, The (1995)", 5), ("Heat", 4)]}


def test_parquet_and_tab_separated_files(tmp_path: Path) -> None:
    table = pa.table({"user": [7, 7], "item": ["b", "a"], "rating": [2.5, 4.0], "time": [2, 1]})
    pq.write_table(table, tmp_path / "ratings.parquet")
    tabs = written(tmp_path, "user:token\titem:token\trating:float\ttime:float\n7\tb\t2.5\t2\n7\ta\t4\t1\n", "r.inter")
    assert by_user(read(tmp_path / "ratings.parquet")) == by_user(read(tabs)) == {"7": [("A", 4), ("B", 2.5)]}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1,a,six,3", r":3: rating is 'six'\. Expected a number"),
        ("1,a,,3", ":3: rating is missing"),
        ("1,a,nan,3", ":3: rating is nan"),
        ("1,a,5.5,3", r":3: rating is 5.5, outside task.scale=\[1,5\]"),
        ("1,a,5,yesterday", ":3: time is 'yesterday'"),
        (",a,5,3", ":3: user is missing"),
        ("1,,5,3", ":3: item is missing"),
        ("1,a,5", "3 columns|Expected 4 columns"),
    ],
)
def test_a_bad_value_is_reported_with_its_line(tmp_path: Path, line: str, expected: str) -> None:
    path = written(tmp_path, f"user,item,rating,time\n1,a,5,1\n{line}\n")
    with pytest.raises(DataError, match=expected):
        read(path)


def test_unknown_columns_unknown_types_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no column 'user'\. Did you mean users"):
        read(written(tmp_path, "users,item,rating,time\n1,a,5,1\n"))
    with pytest.raises(DataError, match=r"unsupported file type '\.xlsx'"):
        read(written(tmp_path, "1::2::3", "ratings.xlsx"))
    with pytest.raises(DataError, match="no ratings of items with a title"):
        read(written(tmp_path, "user,item,rating,time\n"))
    with pytest.raises(DataError, match="No user has 3 ratings; the most is 1"):
        read(written(tmp_path, "user,item,rating,time\n1,a,5,1\n"), fewest=3)


def test_valid_years_are_appended_to_titles(tmp_path: Path) -> None:
    """RecBole's MovieLens file has an unknown item and a malformed year."""
    text = (
        "item_id:token\tmovie_title:token_seq\tyear:token\n1\tToy Story\t1995\n2\tunkonwn\tunkonwn\n3\tTime (1995)\tV\n"
    )
    path = written(tmp_path, text, "ml.item")
    found = read_titles(path, ItemColumns("item_id", "movie_title", "year"), {"unkonwn": None})
    assert found.texts == ["Toy Story (1995)", "Time (1995)"]
    assert found.of_item == {"1": 0, "3": 1}


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the folder contains no rating files"):
        rating_files(tmp_path)
    for number in (2, 1):
        written(tmp_path, f"user,item,rating,time\n1,{'ab'[number - 1]},{number},0\n", f"{number}.csv")
    log = read_log(rating_files(tmp_path), NAMES, titles(a="A", b="B"), (1.0, 5.0), fewest=1)
    assert by_user(log) == {"1": [("A", 1), ("B", 2)]}


def test_many_blocks_are_one_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line numbers and users continue across blocks; an error in the last line has the right number."""
    monkeypatch.setattr("gcsl_cli.tasks.recommendation.rating_files.BLOCK", 2**10)
    rows = [f"{number % 7},{'abc'[number % 3]},{number % 5 + 1},{number}" for number in range(2000)]
    path = written(tmp_path, "\n".join(["user,item,rating,time", *rows]) + "\n")
    log = read(path)
    assert len(log.users) == 7
    assert np.diff(log.starts).tolist() == [3] * 7
    with pytest.raises(DataError, match=":2002: rating is 'x'"):
        read(written(tmp_path, path.read_text() + "1,a,x,1\n"))
