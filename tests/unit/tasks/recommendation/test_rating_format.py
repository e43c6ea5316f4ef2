"""Files of ratings as they are published, read with the names of conf/task/recommendation.yaml."""

import gzip
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.tasks.recommendation.rating_log import ItemColumns, RatingColumns
from gcsl_cli.tasks.recommendation.task import RecommendationTask

MOVIES = ["Toy Story (1995)", "Léon: The Pro (1994)", "Heat (1995)", "Up (2009)"]


def made(ratings: Path, items: Path | None, scale: tuple[float, float] = (1, 5), **columns: Any) -> RecommendationTask:
    return RecommendationTask(
        ratings=str(ratings),
        items=None if items is None else str(items),
        columns=RatingColumns(**columns),
        item_columns=ItemColumns(title="movie_title", year="release_year"),
        scale=list(scale),
        test_items=1,
        validation_items=1,
    )


def by_time(task: RecommendationTask) -> list[tuple[str, float]]:
    """Title and rating of the only user's ratings, oldest first."""
    return [
        (task.log.titles[item], float(rating)) for item, rating in zip(task.log.items, task.log.ratings, strict=True)
    ]


def said(task: RecommendationTask) -> list[str]:
    return [text for label, text in task.overview() if label == "read as"]


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_movielens_1m(tmp_path: Path) -> None:
    ratings = written(tmp_path / "ratings.dat", "1::3::5::30\n1::1::4::10\n1::2::3::20\n1::4::1::40\n")
    movies = "".join(f"{number}::{title}::Drama|War\n" for number, title in enumerate(MOVIES, 1))
    task = made(ratings, written(tmp_path / "movies.dat", movies, "latin-1"))

    assert by_time(task) == [(MOVIES[0], 4), (MOVIES[1], 3), (MOVIES[2], 5), (MOVIES[3], 1)]
    assert said(task) == [
        "movies.dat: not UTF-8, read as Latin-1",
        "movies.dat: no header; columns item_id, movie_title, column_3",
        "movies.dat: no column release_year; titles stay as they are",
        "ratings.dat: no header; columns user_id, item_id, rating, timestamp",
    ]


@pytest.mark.parametrize("block", [40, 41, 42, 43])
def test_double_colons_may_be_cut_between_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("gcsl_cli.tasks.recommendation.rating_files.BLOCK", block)
    lines = "".join(f"1::{number % 4 + 1}::{number % 5 + 1}::{number}\n" for number in range(50))
    movies = written(tmp_path / "movies.dat", "1::A::x\n2::B::x\n3::C::x\n4::D::x\n")
    task = made(written(tmp_path / "ratings.dat", lines), movies)

    assert by_time(task) == [("C", 2), ("D", 3), ("A", 4), ("B", 5)]


def test_movielens_25m_in_its_archive(tmp_path: Path) -> None:
    path = tmp_path / "ml-25m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml-25m/README.txt", "read me")
        archive.writestr("ml-25m/tags.csv", "userId,movieId,tag\n1,1,fun\n")
        archive.writestr(
            "ml-25m/ratings.csv", "userId,movieId,rating,timestamp\n1,2,3.5,20\n1,1,4,10\n1,3,5,30\n1,4,1,40\n"
        )
        titles = "".join(f'{number},"{title}",Drama\n' for number, title in enumerate(MOVIES, 1))
        archive.writestr("ml-25m/movies.csv", f"movieId,title,genres\n{titles}")
    task = made(path, path)

    assert by_time(task) == [(MOVIES[0], 4), (MOVIES[1], 3.5), (MOVIES[2], 5), (MOVIES[3], 1)]
    assert said(task)[:3] == [
        "ml-25m.zip: ml-25m/movies.csv",
        "ml-25m.zip: movieId is item_id",
        "ml-25m.zip: title is movie_title",
    ]


def test_an_archive_without_ratings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tags.csv", "a,b\n")
    with pytest.raises(DataError, match=r"other\.zip: none of its files looks like items \(tags\.csv\)"):
        made(path, path).overview()


def test_book_crossing(tmp_path: Path) -> None:
    """Without times, the order of the file counts."""
    ratings = '"User-ID";"ISBN";"Book-Rating"\r\n"7";"b";"9"\r\n"7";"a";"0"\r\n"7";"c";"10"\r\n"7";"d";"1"\r\n'
    lines = [
        '"ISBN";"Book-Title";"Year-Of-Publication"',
        '"a";"Ein ""Käse""";"2001"',
        r'"b";"B; \"b\"";"0"',
        '"c";"C";"1999"',
        '"d";"D";""',
    ]
    books = "".join(f"{line}\r\n" for line in lines)
    items = written(tmp_path / "BX-Books.csv", books, "latin-1")
    task = made(written(tmp_path / "BX-Book-Ratings.csv", ratings), items, (0, 10))

    assert by_time(task) == [('B; "b"', 9), ('Ein "Käse" (2001)', 0), ("C (1999)", 10), ("D", 1)]
    assert "BX-Book-Ratings.csv: no column timestamp; the order of the file counts" in said(task)


def test_compressed_ratings(tmp_path: Path) -> None:
    path = tmp_path / "ratings.tsv.gz"
    path.write_bytes(
        gzip.compress(b"user_id\titem_id\trating\ttitle\n1\t1\t1\tA\n1\t2\t2\tB\n1\t3\t3\tC\n1\t4\t4\tD\n")
    )

    assert by_time(made(path, None, title="title")) == [("A", 1), ("B", 2), ("C", 3), ("D", 4)]


def test_a_name_that_was_set_is_not_replaced(tmp_path: Path) -> None:
    path = written(tmp_path / "r.csv", "user_id,item_id,rating,title\n1,1,1,A\n")

    with pytest.raises(ConfigError, match=r"task\.columns: .* has no column 'when'"):
        made(path, None, title="title", timestamp="when").overview()
    with pytest.raises(ConfigError, match=r"task\.columns: .* has no column 'item'\. Did you mean item_id"):
        made(path, None, title="title", item="item").overview()
