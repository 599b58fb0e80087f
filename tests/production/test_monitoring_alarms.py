"""Who is told, and of which span: addresses, commands, times and durations as operators write them."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import socket
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.errors import ConfigError, MlkitError, ServingError, UsageError
from mlkit.production.alerts import Sent, send
from mlkit.production.windows import (
    GRID,
    MOST_WINDOWS,
    Span,
    duration_text,
    in_utc,
    last_full,
    read_duration,
    read_time,
    spans,
)
from mlkit.targets import Alert, check_address

DAY, WEEK, MINUTE = dt.timedelta(days=1), dt.timedelta(days=7), dt.timedelta(minutes=1)
NOON = dt.datetime(2026, 6, 10, 12, tzinfo=dt.UTC)
INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    "url",
    [
        "https://alerts.example.com",
        "https://alerts.example.com:8443/a/b?team=ml&x=1",
        "HTTPS://ALERTS.EXAMPLE.COM/",
        "http://127.0.0.1:8080/x",
        "http://localhost/x",
        "http://LOCALHOST/x",
        "http://[::1]:9000/",
    ],
)
def test_addresses_that_a_report_may_go_to(url):
    """Encrypted, or to this machine, by whatever name and however it is written."""
    check_address(url, path="url")
    assert Alert(url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "alerts.example.com/x",
        "//alerts.example.com/x",
        "https:///x",
        "https://a.example:port/",
        "https://a.example:99999/",
        "https://a.example/#part",
        "https://user@a.example/",
        "https://:sesame@a.example/",
        "https://a.example/x y",
        "https://a.example/x\n",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "http://localhost@example.com/",
        "http://0.0.0.0/",
    ],
)
def test_addresses_that_only_look_like_it(url):
    """A name that begins like this machine's is another's; the field is named, the address never shown."""
    with pytest.raises(ConfigError) as caught:
        check_address(url, path="alert.url")
    assert (caught.value.code, caught.value.path) == ("CFG009", "alert.url")
    assert "sesame" not in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"command": "notify --team=ml"}, "command"),
        ({"command": [1, 2]}, "command.0"),
        ({"url_variable": "1ST"}, "url_variable"),
        ({"url_variable": "A-B"}, "url_variable"),
        ({"url_variable": "$ADDRESS"}, "url_variable"),
        ({"url_variable": "ADDRESS\n"}, "url_variable"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": 301}, "timeout_seconds"),
        ({"timeout_seconds": 2.5}, "timeout_seconds"),
        ({"webhook": "https://a.example"}, "webhook"),
    ],
)
def test_an_alert_that_is_none(values, path):
    """A command is a list, so that no shell has to read it; the field is named."""
    with pytest.raises(ConfigError) as caught:
        Alert.from_values(values, path="alert")
    assert caught.value.path == f"alert.{path}"


def test_an_alert_as_it_is_written():
    """A list of TOML is the command; defaults say nothing; one that is written can be read."""
    made = Alert.from_values({"command": ["notify", "ä b"], "url_variable": "_A1", "timeout_seconds": 300})
    assert made.command == ("notify", "ä b")
    assert made.dump() == {"command": ["notify", "ä b"], "url_variable": "_A1", "timeout_seconds": 300}
    assert Alert.from_values(made.dump()) == made
    assert Alert().dump() == {}


def test_a_command_need_not_read_what_it_gets():
    """A report larger than any pipe does not hold up one that looks at nothing and ends."""
    alert = Alert(command=(sys.executable, "-c", ""), timeout_seconds=30)
    assert send(alert, {"text": "x" * 2_000_000}) == Sent(("command",))


def test_a_command_gets_json_whatever_the_report_holds(tmp_path):
    """Instants as text, letters of any language whole."""
    told = tmp_path / "told.json"
    code = f"import sys; open({str(told)!r}, 'wb').write(sys.stdin.buffer.read())"
    assert not send(Alert(command=(sys.executable, "-c", code)), {"at": NOON, "reason": "Größe \u2713"}).error
    assert json.loads(told.read_bytes()) == {"at": str(NOON), "reason": "Größe \u2713"}


@pytest.mark.parametrize(
    ("alert", "code"),
    [
        (Alert(command=("",)), "NET090"),
        (Alert(command=("a\0b",)), "NET090"),
        (Alert(url="http://127.0.0.1:9/\u00e4?token=sesame"), "NET091"),
        (Alert(url=f"https://{'a' * 70}.example/x?token=sesame"), "NET091"),
        (Alert(command=("",), url="http://127.0.0.1:9/x"), "NET090"),
    ],
)
def test_what_cannot_even_be_tried_is_a_failure_too(alert, code):
    """Never an exception: of two failures the first is said, and no secret of an address."""
    sent = send(alert, {})
    assert (sent.told, sent.error.code) == ((), code)
    assert isinstance(sent.error, ServingError)
    assert "sesame" not in str(sent.error)
    assert "None" not in sent.error.message


def test_an_answer_that_is_no_http_is_a_failure():
    """Somebody listens there, but it is something else."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"220 mail ready\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        sent = send(Alert(url=f"http://127.0.0.1:{server.getsockname()[1]}/x", timeout_seconds=20), {})
        thread.join()
    assert (sent.told, sent.error.code) == ((), "NET091")


def test_a_variable_that_is_empty_is_not_there(monkeypatch):
    """A job that forgot its secret says so; the name is shown, and where to put it."""
    monkeypatch.setenv("WATCHER", "")
    error = send(Alert(url_variable="WATCHER"), {}).error
    assert (error.code, error.path) == ("CFG009", "alert.url_variable")
    assert "WATCHER" in error.fix


def test_what_became_of_it_as_plain_values():
    """A failure is an object of its own, or nothing."""
    assert Sent().to_dict() == {"told": [], "error": None}
    said = Sent(("url",), ServingError("NET090", "no", path="alert.command", fix="do")).to_dict()
    assert said["told"] == ["url"]
    assert said["error"] == {
        "code": "NET090", "message": "no", "path": "alert.command", "place": "", "fix": "do", "exit_code": 4,
    }  # fmt: skip


@given(st.integers(1, 5000), st.sampled_from("mhdw"))
def test_a_duration_is_written_as_it_is_read(number, unit):
    """In the largest unit that fits, which is the same duration again."""
    duration = read_duration(f"{number}{unit}", path="every")
    text = duration_text(duration)
    assert read_duration(text, path="every") == duration
    assert int(text[:-1]) <= 7 * number


@pytest.mark.parametrize(
    ("text", "written"),
    [("60m", "1h"), ("90m", "90m"), ("24h", "1d"), ("25h", "25h"), ("7d", "7d"), ("2w", "14d"), ("8d", "8d")],
)
def test_the_largest_unit_that_gives_a_whole_number(text, written):
    """Days rather than weeks: everybody counts them alike."""
    assert duration_text(read_duration(text, path="every")) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "d",
        "-1d",
        "+1d",
        "1.5d",
        " 7d",
        "7d\n",
        "7D",
        "07d",
        "7 d",
        "1000000m",
        "999999w",
        "36526d",
        "\u0667d",
    ],
)
def test_durations_that_are_none(text):
    """A sign, a blank, a part, a capital, or longer than anybody's records; the option is named."""
    with pytest.raises(UsageError) as caught:
        read_duration(text, path="every")
    assert (caught.value.code, caught.value.path) == ("CLI062", "every")
    assert "--every" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-06-10T12:00", NOON),
        ("2026-06-10 17:30+05:30", NOON),
        ("20260610T120000Z", NOON),
        ("2026-06-10T12:00:00.000001Z", NOON + dt.timedelta(microseconds=1)),
        ("2024-02-29", dt.datetime(2024, 2, 29, tzinfo=dt.UTC)),
    ],
)
def test_times_that_are_the_same_instant(text, instant):
    """With a zone or without one, which is UTC."""
    found = read_time(text, path="since")
    assert found == instant
    assert found.tzinfo is dt.UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-02-29",
        "2026-06-10T25:00",
        "10.06.2026",
        "now",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-12:00",
    ],
)
def test_times_that_are_none(text):
    """Nor is one which the calendar of UTC does not reach; the text is not repeated."""
    with pytest.raises(UsageError) as caught:
        read_time(text, path="until")
    assert (caught.value.code, caught.value.path) == ("CLI062", "until")
    assert not text or text not in caught.value.message


@given(
    st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2040, 1, 1), timezones=st.just(INDIA)),  # noqa: DTZ001
    st.integers(1, 60 * 24 * 9),
    st.integers(0, 60),
)
def test_every_instant_is_in_exactly_one_window(since, minutes, number):
    """As many as fit, one behind the other, from the first instant on; less than one is left over."""
    every = minutes * MINUTE
    until = since + every * number + every / 2
    if not number:
        with pytest.raises(UsageError, match="CLI060"):
            spans(every, now=NOON, since=since, until=until)
        return
    found = spans(every, now=NOON, since=since, until=until)
    assert len(found) == number
    assert found[0].since == since
    assert found[0].since.tzinfo is dt.UTC
    assert all(left.until == right.since for left, right in itertools.pairwise(found))
    assert dt.timedelta(0) <= until - found[-1].until < every


def test_a_thousand_windows_are_not_too_many():
    """One more is."""
    most = spans(MINUTE, now=NOON, since=NOON, until=NOON + MOST_WINDOWS * MINUTE)
    assert len(most) == MOST_WINDOWS
    with pytest.raises(UsageError, match="1,001 windows") as caught:
        spans(MINUTE, now=NOON, since=NOON, until=NOON + (MOST_WINDOWS + 1) * MINUTE)
    assert (caught.value.code, caught.value.path) == ("CLI061", "every")


def test_a_window_that_ends_now_has_ended():
    """At midnight the day before is full, a microsecond earlier it is not; also before the grid begins."""
    midnight = NOON.replace(hour=0)
    assert last_full(DAY, now=midnight) == Span(midnight - DAY, midnight)
    assert last_full(DAY, now=midnight - dt.timedelta(microseconds=1)).until == midnight - DAY
    assert last_full(WEEK, now=GRID) == Span(GRID - WEEK, GRID)
    assert last_full(WEEK, now=GRID - MINUTE) == Span(GRID - 2 * WEEK, GRID - WEEK)
    assert last_full(WEEK, now=NOON.replace(tzinfo=None)) == last_full(WEEK, now=NOON)


def test_the_end_may_lie_between_the_lines_of_the_grid():
    """Whoever names an end gets it; whoever names a beginning gets windows up to the last full one."""
    end = NOON.astimezone(INDIA)
    assert spans(DAY, now=NOON + WEEK, until=end) == [Span(NOON - DAY, NOON)]
    (only,) = spans(DAY, now=NOON, since=NOON - 2 * DAY)
    assert only == Span(NOON - 2 * DAY, NOON - DAY)
    with pytest.raises(UsageError, match="no window of 7d lies from 2026-06-10T12:00:00Z to 2026-06-08"):
        spans(WEEK, now=NOON, since=NOON)


def test_spans_are_values():
    """Sorted by their beginning; told apart by both ends; written with a time of day where there is one."""
    first, longer, later = Span(NOON, NOON + DAY), Span(NOON, NOON + WEEK), Span(NOON + MINUTE, NOON + DAY)
    assert sorted([later, longer, first]) == [first, longer, later]
    assert len({first, longer, Span(NOON.astimezone(INDIA), NOON + DAY)}) == 2
    midnight = NOON.replace(hour=0)
    assert str(Span(midnight, NOON)) == "2026-06-10 to 2026-06-10T12:00:00Z"
    assert Span(midnight, NOON).to_dict() == {
        "since": "2026-06-10T00:00:00+00:00", "until": "2026-06-10T12:00:00+00:00",
    }  # fmt: skip
    with pytest.raises(MlkitError, match="found 2026-06-10T12:00:00Z to 2026-06-10"):
        Span(NOON, midnight)


def test_an_instant_in_utc():
    """A zone is converted, none is taken for UTC."""
    assert in_utc(NOON.astimezone(INDIA)).isoformat() == "2026-06-10T12:00:00+00:00"
    assert in_utc(NOON.replace(tzinfo=None)) == NOON
