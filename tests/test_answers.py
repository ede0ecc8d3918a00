"""Answers to a write, in the shapes of InfluxDB 1, 2 and 3 and of what may stand before them."""

import json
from datetime import UTC, datetime

import pytest

from controller.store.answers import Away, Refused, complaint

NOW = datetime(2023, 2, 6, 12, tzinfo=UTC)
LINES = [f"reading,point=p{n},site=s v=1.0,q=0i,f=0i,lag=0i 1" for n in range(4)]


def answered(status: int, body: object = b"", **headers: str) -> Away | Refused:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return complaint(status, raw, headers=named, lines=LINES, now=NOW)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"error": "authorization failed"}, "answers 401: authorization failed; check its user and password"),
        (401, {"code": "unauthorized", "message": "unauthorized access"}, "unauthorized access; check its user"),
        (403, {"error": "the request was forbidden"}, "check what its user or token may write"),
        (404, {"error": 'database not found: "plenum"'}, 'database not found: "plenum"; check the name of database'),
        (500, {"error": "timeout"}, "answers 500: timeout"),
        (503, {"error": "engine: cache-max-memory-size exceeded"}, "cache-max-memory-size exceeded"),
        (502, b"<html>\n<body>Bad  Gateway</body></html>", "<html> <body>Bad Gateway</body></html>"),
        (302, b"", "answers 302: no words"),
        (500, b"\xff\xfe", "answers 500"),
        (500, b"x" * 100_000, "answers 500: " + "x" * 300),
        (500, [1], "answers 500: [1]"),
        (500, {"error": {"nested": 1}}, "nested"),
    ],
)
def test_what_is_not_about_the_lines_is_tried_again(status: int, body: object, words: str) -> None:
    error = answered(status, body)
    assert isinstance(error, Away)
    assert words in str(error)
    assert len(str(error)) < 450


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("30", 30.0),
        ("1.5", 1.5),
        ("Mon, 06 Feb 2023 12:02:00 GMT", 120.0),
        ("Mon, 06 Feb 2023 11:00:00 GMT", 0.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("nan", 0.0),
        ("1e99", 3600.0),
        ("Mon, 99 Feb 2023 12:02:00 GMT", 0.0),
    ],
)
def test_a_server_may_ask_for_time(header: str, wait_s: float) -> None:
    error = answered(429, {"message": "too many requests"}, retry_after=header)
    assert isinstance(error, Away)
    assert error.retry_after_s == wait_s


def test_version_1_says_how_many_were_dropped() -> None:
    error = answered(400, {"error": "partial write: points beyond retention policy dropped=3"})
    assert isinstance(error, Refused)
    assert (error.too_old, error.dropped, error.named) == (True, 3, {})
    text = 'partial write: field type conflict: input field "v" on measurement "reading" is type float dropped=1'
    error = answered(400, {"error": text})
    assert isinstance(error, Refused)
    assert (error.too_old, error.dropped) == (False, 1)


def test_version_2_says_it_in_other_words() -> None:
    words = "failure writing points to database: partial write: points beyond retention policy dropped=4"
    error = answered(422, {"code": "unprocessable entity", "message": words})
    assert isinstance(error, Refused)
    assert (error.too_old, error.dropped) == (True, 4)
    error = answered(400, {"code": "invalid", "message": "unable to parse 'x': missing fields"})
    assert isinstance(error, Refused)
    assert (error.too_old, error.dropped) == (False, None)
    assert isinstance(answered(413, {"code": "request too large", "message": "too much"}), Refused)


def test_version_3_names_the_lines() -> None:
    told = [
        {"original_line": LINES[1], "line_number": 2, "error_message": "invalid field value"},
        {"original_line": LINES[3][:20] + "...", "line_number": 4, "error_message": "invalid column type"},
    ]
    error = answered(400, {"error": "partial write of line protocol occurred", "data": told})
    assert isinstance(error, Refused)
    assert error.named == {1: "invalid field value", 3: "invalid column type"}


@pytest.mark.parametrize(
    "item",
    [
        {"original_line": LINES[1], "line_number": 3, "error_message": "counts otherwise"},
        {"original_line": LINES[1], "line_number": 99, "error_message": "there is no such line"},
        {"original_line": "", "line_number": 1, "error_message": "says nothing"},
        {"line_number": 1},
        {"original_line": LINES[0], "line_number": "1"},
        "words",
        None,
    ],
)
def test_a_line_is_blamed_only_if_it_is_ours(item: object) -> None:
    error = answered(400, {"error": "partial write of line protocol occurred", "data": [item]})
    assert isinstance(error, Refused)
    assert error.named == {}
