"""The judge, against a server that drops, delays, refuses and garbles its answers."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli.errors import ConfigError, GcslError
from gcsl_cli.scorers.base import Example
from gcsl_cli.scorers.endpoint import EndpointError
from gcsl_cli.scorers.judge import FIRST, JudgeScorer

KEY = "sk-very-secret"
NUMBER = re.compile(r"answer (\d+)")
Reply = Callable[["Handler", dict[str, Any], int], Any]


class Server(ThreadingHTTPServer):
    """Grades `answer N` with N modulo 10, plus 1; `reply` may spoil that."""

    request_queue_size = 256
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.attempts: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.now = self.most = 0
        self.full = threading.Event()
        self.wait_for = 0
        self.reply: Reply = lambda handler, body, attempt: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_: Any) -> None:
        """Connections that the test closes are no news."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][0]["content"]
        with server.lock:
            server.bodies.append(body)
            server.keys.add(self.headers["Authorization"])
            server.attempts[text] += 1
            attempt = server.attempts[text]
            server.now += 1
            server.most = max(server.most, server.now)
            if server.now == server.wait_for:
                server.full.set()
        if server.wait_for:
            server.full.wait(30)
        try:
            if server.reply(self, body, attempt) is None:
                self.answer(int(NUMBER.findall(text)[0]) % 10 + 1)
        finally:
            with server.lock:
                server.now -= 1

    def answer(self, grade: Any) -> bool:
        return self.content(json.dumps({"grade": grade}))

    def content(self, text: Any) -> bool:
        return self.send(200, json.dumps({"choices": [{"message": {"content": text}}]}))

    def send(self, status: int, text: str, **headers: str) -> bool:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())
        return True

    def drop(self) -> bool:
        self.close_connection = True
        self.connection.close()
        return True

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def judge(server: Server, **settings: Any) -> JudgeScorer:
    scorer = JudgeScorer(base_url=server.url, model="any", **{"backoff": 0.001, "timeout": 20.0, **settings})
    scorer.check()
    return scorer


def answers(count: int) -> list[Example]:
    return [Example("Hi", f"answer {number}") for number in range(count)]


def expected(count: int) -> list[float]:
    return [number % 10 + 1.0 for number in range(count)]


def test_nothing_is_lost_when_a_third_of_the_requests_fail(server: Server) -> None:
    """192 completions, 64 requests at a time; every third fails once, in seven ways."""
    ways: list[Callable[[Handler], bool]] = [
        lambda handler: handler.drop(),
        lambda handler: handler.send(429, "{}", Retry_After="0"),
        lambda handler: handler.send(503, "busy", Retry_After=formatdate(0)),
        lambda handler: handler.send(200, '{"choices": [{"mess'),
        lambda handler: handler.content("I would say 7 of 10."),
        lambda handler: handler.answer(70),
        lambda handler: handler.content(None),
    ]

    def reply(handler: Handler, body: dict[str, Any], attempt: int) -> Any:
        number = int(NUMBER.findall(body["messages"][0]["content"])[0])
        return ways[number // 3 % len(ways)](handler) if number % 3 == 0 and attempt == 1 else None

    server.reply, server.wait_for = reply, 64
    scorer = judge(server)

    assert scorer(answers(192)).tolist() == expected(192)
    assert server.most == 64
    assert server.attempts.total() == 192 + 64
    assert not scorer.ungraded


def test_a_second_evaluation_pays_nothing(server: Server) -> None:
    judge(server)(answers(5))
    again = judge(server, concurrency=2, retries=1)

    assert again([*answers(5), *answers(2)]).tolist() == [*expected(5), *expected(2)]
    assert server.attempts.total() == 5


def test_an_endpoint_that_goes_down_keeps_what_was_graded(server: Server) -> None:
    def reply(handler: Handler, body: dict[str, Any], attempt: int) -> Any:
        return handler.drop() if len(server.bodies) > 5 else None

    server.reply = reply
    with pytest.raises(EndpointError, match=r"no usable response after 2 attempts .* Is the server up\?") as error:
        judge(server, concurrency=1, retries=1)(answers(9))
    assert error.value.exit_code == 2
    server.reply = lambda handler, body, attempt: None
    server.attempts.clear()

    assert judge(server)(answers(9)).tolist() == expected(9)
    assert server.attempts.total() == 4


def test_what_is_on_its_way_when_the_endpoint_fails_is_kept(server: Server) -> None:
    """Four requests together: the first is refused for its key, the others are answered after that."""
    refused = threading.Event()

    def reply(handler: Handler, body: dict[str, Any], attempt: int) -> Any:
        if "answer 0" in body["messages"][0]["content"]:
            sent = handler.send(401, "no")
            refused.set()
            return sent
        refused.wait(30)
        return None

    server.reply, server.wait_for = reply, 4
    with pytest.raises(ConfigError, match="HTTP 401: no"):
        judge(server, concurrency=4)(answers(4))
    server.reply, server.wait_for = lambda handler, body, attempt: None, 0

    assert judge(server)(answers(4)).tolist() == expected(4)
    assert server.attempts.total() == 4 + 1


def test_an_endpoint_that_is_not_there() -> None:
    with Server() as server:
        url = server.url
    scorer = JudgeScorer(base_url=url, model="any", retries=1, backoff=0.001)

    with pytest.raises(EndpointError, match="Connection refused"):
        scorer(answers(1))


def test_a_slow_endpoint_times_out(server: Server) -> None:
    """The first attempt hangs until the test is over."""
    over = threading.Event()

    def reply(handler: Handler, body: dict[str, Any], attempt: int) -> Any:
        return over.wait(30) and handler.drop() if attempt == 1 else None

    server.reply = reply
    assert judge(server, timeout=0.05)(answers(1)).tolist() == [1]
    over.set()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda handler: handler.answer(11), "a grade off the scale of 1 to 10"),
        (lambda handler: handler.answer("7"), "an answer without a grade"),
        (lambda handler: handler.answer(True), "an answer without a grade"),
        (lambda handler: handler.content("seven"), "an answer without a grade"),
        (
            lambda handler: handler.send(400, '{"error": {"message": "too  long"}}'),
            "the endpoint refused the request (HTTP 400: too long)",
        ),
    ],
)
def test_what_cannot_be_graded_is_counted(server: Server, spoil: Callable[[Handler], bool], reason: str) -> None:
    """Only the second of three; refusals are not asked again."""

    def reply(handler: Handler, body: dict[str, Any], attempt: int) -> Any:
        return spoil(handler) if "answer 1" in body["messages"][0]["content"] else None

    server.reply = reply
    scorer = judge(server, retries=2)
    grades = scorer(answers(3))

    assert np.isnan(grades).tolist() == [False, True, False]
    assert scorer.ungraded == {reason: 1}
    assert server.attempts.total() == 2 + (1 if "refused" in reason else 3)


def test_a_judge_that_never_grades_is_stopped(server: Server) -> None:
    server.reply = lambda handler, body, attempt: handler.content("no")
    with pytest.raises(ConfigError, match=rf"not one grade in the first {FIRST} answers of any"):
        judge(server, retries=0, concurrency=4)(answers(4 * FIRST))
    assert server.attempts.total() < 2 * FIRST


def test_difficult_completions_that_are_left_stop_nothing(server: Server) -> None:
    """The judge works, as its other grades show."""
    judge(server)(answers(1))
    server.reply = lambda handler, body, attempt: handler.content("no")
    scorer = judge(server, retries=0, concurrency=4)

    assert np.isnan(scorer(answers(FIRST + 9))).sum() == FIRST + 8
    assert scorer.ungraded == {"an answer without a grade": FIRST + 8}


def test_votes_are_averaged(server: Server) -> None:
    """2, 3 and 7; the fourth is no grade."""
    votes = iter([2, 3, 7, 99])
    server.reply = lambda handler, body, attempt: handler.answer(next(votes))

    assert judge(server, votes=4, retries=0, concurrency=1)(answers(1)).tolist() == [4]


def test_the_request_holds_what_the_rubric_names(server: Server) -> None:
    example = Example("Hi", "answer {topic}0", "Hello", {"topic": "cats", "empty": None})
    rubric = "{low}-{high} {prompt} {completion} {reference} {topic}{empty} {} {1 x}"
    scorer = judge(server, rubric=rubric, scale=[0, 2.5], temperature=0.5, body={"max_tokens": 9})
    server.reply = lambda handler, body, attempt: handler.answer(1)
    (grade,) = scorer([example])
    (body,) = server.bodies

    assert (grade, scorer.needs_reference, scorer.limits()) == (1, True, (0, 2.5))
    assert body["messages"][0]["content"] == "0-2.5 Hi answer {topic}0 Hello cats {} {1 x}"
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("any", 0.5, 9)
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["grade"]


def test_without_structured_output_the_prompt_asks_for_json(server: Server) -> None:
    server.reply = lambda handler, body, attempt: handler.content('Well:\n```json\n{"grade": 3}\n```')

    assert judge(server, structured=False)(answers(1)).tolist() == [3]
    assert "response_format" not in server.bodies[0]
    assert "temperature" not in server.bodies[0]
    assert server.bodies[0]["messages"][0]["content"].endswith('such as {"grade": 1}.')


@pytest.mark.parametrize(
    ("status", "key", "said"),
    [
        (401, KEY, "The key from the environment variable OPENAI_API_KEY was not accepted."),
        (401, "", "The key from the environment variable OPENAI_API_KEY is not set."),
        (404, KEY, "Correct scorer.base_url or scorer.model."),
        (302, KEY, "HTTP 302"),
    ],
)
def test_the_key_is_in_no_message_and_no_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, key: str, said: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    where = f"{server.url}/elsewhere"
    server.reply = lambda handler, body, attempt: handler.send(status, f"key {KEY} of {where}", Location=where)
    scorer = judge(server)
    with pytest.raises(GcslError) as error:
        scorer(answers(1))

    assert said in str(error.value)
    assert server.keys == {f"Bearer {key}" if key else None}
    assert server.attempts.total() == 1
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert KEY not in f"{error.value} {scorer!r} {scorer.keys()} {scorer._endpoint!r}" if key else True
    assert all(KEY.encode() not in content for content in written)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scale": [1]}, "scorer.scale=[1]: expected the lowest and the highest grade"),
        ({"scale": [5, 1]}, "scorer.scale=[5, 1]: expected the lowest and the highest grade"),
        ({"votes": 0}, "scorer.votes=0"),
        ({"retries": -1}, "scorer.retries=-1"),
        *(
            ({"base_url": url}, f"scorer.base_url={url}: expected an address such as http://")
            for url in ("http://", "http://a:99999", "http://a:b", "http://[::1", "http://a b", "http://a/ü", "ftp://a")
        ),
        ({"timeout": 1e300}, "scorer.timeout=1e+300: must be a number from 0 to 86400"),
        ({"base_url": "localhost:8000"}, "scorer.base_url=localhost:8000: expected an address such as http://"),
        ({"rubric": "Grade {prompt}."}, "scorer.rubric: needs the placeholder {completion}"),
    ],
)
def test_an_unusable_setting_is_explained(server: Server, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        judge(server, **settings) if "base_url" not in settings else JudgeScorer(model="m", **settings).check()
    assert said in str(error.value)


def test_a_key_that_cannot_be_sent_is_not_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """White space around a key is no part of it, a line break within it is a mistake."""
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    judge(server)(answers(1))
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n{KEY}")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY has characters that no key has") as error:
        judge(server)(answers(2))

    assert server.keys == {f"Bearer {KEY}"}
    assert KEY not in str(error.value)


def test_a_rubric_with_an_unknown_column(server: Server) -> None:
    scorer = judge(server, rubric="{completion} {topic}")
    with pytest.raises(
        ConfigError, match=r"scorer.rubric: {topic} is not a column. There are lang, prompt, completion"
    ):
        scorer([Example("Hi", "answer 1", columns={"lang": "en"})])
