"""The command `heldout` of a participant: its verbs, what they print, and their exit codes."""

from __future__ import annotations

import json
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.base import config, db
from app.base.models import Submission
from app.cli.main import cli, main
from app.competing import admissions, competitions, rules
from heldout_client import commands
from tests.client.conftest import Served
from tests.web.site import CSV, Site

Read = Callable[[], Any]


@pytest.fixture
def read(capsys: pytest.CaptureFixture[str]) -> Read:
    """Return the JSON that was printed since the last call."""
    return lambda: json.loads(capsys.readouterr().out)


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "good.csv"
    path.write_bytes(CSV)
    return str(path)


@contextmanager
def when_sent(site: Site, number: int, do: Callable[[], None]) -> Iterator[None]:
    """Do something, as a worker would, once the submission of this number has arrived."""

    def work() -> None:
        for _ in range(500):
            time.sleep(0.02)
            with site.database.read() as session:
                if session.get(Submission, number) is not None:
                    do()
                    return

    worker = threading.Thread(target=work)
    worker.start()
    yield
    worker.join()


def test_login_saves_the_token_for_its_address_where_only_the_owner_reads_it(
    server: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.main(["login", server.address, "--token", server.token()], server.env) == 0
    assert "as ada" in capsys.readouterr().out
    (path,) = Path(server.env["XDG_CONFIG_HOME"]).rglob("logins.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert commands.main(["competitions"], server.env) == 0
    assert "biopsy" in capsys.readouterr().out
    elsewhere = {**server.env, "HELDOUT_URL": "http://127.0.0.1:9"}
    assert commands.main(["competitions"], elsewhere) == 4
    assert "no token for http://127.0.0.1:9" in capsys.readouterr().err


EXITS: dict[str, tuple[list[str], int, str]] = {
    "a wrong token": (["competitions"], 4, "There is no such token"),
    "no server": (["competitions", "--url", "http://127.0.0.1:9"], 3, "cannot be reached"),
    "an unknown competition": (["join", "nowhere"], 1, "no competition nowhere"),
    "a competition that is a path": (["leaderboard", "../me"], 1, "does not exist"),
    "an unknown file of data": (
        ["download", "biopsy", "x.csv"],
        2,
        "biopsy has no file x.csv; it has train.csv",
    ),
    "a missing file": (["check", "nothing.csv", "-c", "biopsy"], 2, "There is no file nothing.csv"),
    "no competition joined": (["submit", "FILE", "-c", "biopsy"], 4, "heldout join biopsy"),
    "a bad address": (["competitions", "--url", "ftp://x"], 2, "not the address"),
}


@pytest.mark.parametrize("name", EXITS)
def test_a_refusal_has_its_exit_code_and_words(
    server: Served, good: str, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words, code, message = EXITS[name]
    words = [good if word == "FILE" else word for word in words]
    env = {
        "HELDOUT_TOKEN": {"a wrong token": "hld_wrong", "no competition joined": server.token("bob")}.get(
            name, ""
        )
    }
    env = env if env["HELDOUT_TOKEN"] else {}
    assert server.heldout(*words, **env) == code
    assert message in capsys.readouterr().err


def test_a_file_is_checked_sent_scored_listed_and_picked(server: Served, good: str, read: Read) -> None:
    server.site.baseline("Prior only", 0.4, 0.4)
    assert server.heldout("check", good, "-c", "biopsy", "--json") == 0
    assert read() == {"ok": True, "rows": 2, "problems": [], "warnings": [], "unchecked": []}
    assert server.heldout("submit", good, "-c", "biopsy", "-m", "first", "--json") == 0
    first = read()
    assert (first["id"], first["state"], first["place_in_queue"], first["remaining_today"]) == (
        2,
        "queued",
        1,
        4,
    )
    server.site.score(2, 0.6)
    assert server.heldout("check", good, "-c", "biopsy", "--json") == 0
    assert [warning["code"] for warning in read()["warnings"]] == ["SAME_FILE"]
    assert server.heldout("submissions", "biopsy", "--json") == 0
    (listed,) = read()
    assert (listed["id"], listed["public"], listed["message"]) == (2, 0.6, "first")
    assert server.heldout("leaderboard", "biopsy", "--json") == 0
    assert read()["mine"]["rank"] == 1
    assert server.heldout("pick", "2", "--json") == 0
    assert read() == {"ids": [2], "is_picked": True}
    assert server.heldout("submissions", "biopsy", "--json") == 0
    assert read()[0]["is_picked"]


def test_a_bad_file_is_not_sent(server: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("id,target\n1,2\n3,x\n")
    assert server.heldout("submit", str(bad), "-c", "biopsy") == 2
    shown = capsys.readouterr().err
    assert "nothing was sent" in shown
    for code in ("OUT_OF_RANGE", "UNKNOWN_IDS", "MISSING_IDS"):
        assert f"[{code}]" in shown
    assert server.heldout("submissions", "biopsy") == 0
    assert "There are none yet." in capsys.readouterr().out


@pytest.mark.parametrize(("score", "words"), [(0.3, "rank 1, up 1"), (0.5, "rank 2, unchanged")])
def test_waiting_shows_the_score_and_the_change_of_rank(
    server: Served, good: str, capsys: pytest.CaptureFixture[str], score: float, words: str
) -> None:
    site = server.site
    site.join("bob")
    site.score(site.submit("bob"), 0.4)
    site.score(site.submit("ada", CSV + b"\n"), 0.5)
    with when_sent(site, 3, lambda: site.score(3, score)):
        assert server.heldout("submit", good, "-c", "biopsy", "--wait", "-q") == 0
    assert words in capsys.readouterr().out


def test_a_rejected_file_ends_with_its_problems_and_exit_code_1(
    server: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = server.site
    bad = tmp_path / "bad.csv"
    bad.write_text("id,target\n1,abc\n")
    with when_sent(site, 1, lambda: site.reject(1)):
        assert server.heldout("submit", str(bad), "-c", "biopsy", "--wait", "--no-check") == 1
    shown = capsys.readouterr()
    assert "Submission 1 rejected" in shown.out
    assert "[NOT_A_NUMBER]" in shown.err


def test_the_last_schema_checks_a_file_without_a_connection(
    server: Served, good: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.heldout("check", good, "-c", "biopsy") == 0

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("http.client.HTTPConnection.connect", refuse)
    assert server.heldout("check", good, "-c", "biopsy") == 0
    assert "fetched last" in capsys.readouterr().err


def test_names_of_teams_cannot_move_the_cursor_of_a_terminal(
    server: Served, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.site.score(server.site.submit("ada", message="\x1b[2J cleared"), 0.5)
    assert server.heldout("submissions", "biopsy") == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_name_of_a_file_that_leads_elsewhere_is_refused(server: Served, tmp_path: Path) -> None:
    participant = server.participant()
    participant.files = lambda _: [{"name": "../x.csv", "size": 1, "sha256": "0"}]  # type: ignore[method-assign]
    with pytest.raises(Exception, match="written elsewhere"):
        participant.download("biopsy", [], tmp_path)


def test_the_command_of_the_server_runs_the_verbs_of_the_client_without_an_installation(
    server: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["heldout", "competitions"])
    for name, value in (
        ("URL", server.address),
        ("TOKEN", server.token()),
        ("DATA_DIR", str(tmp_path / "none")),
    ):
        monkeypatch.setenv(f"HELDOUT_{name}", value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "biopsy" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()
    config.load()  # the variables of the client are no unknown settings


def test_the_commands_of_the_server_and_the_client_have_different_names() -> None:
    with pytest.raises(SystemExit):
        commands.main(["--help"])
    assert set(commands.NAMES) <= set(cli.commands)
    assert len(commands.NAMES) == len(set(commands.NAMES))
    assert re.fullmatch(r"Exit codes: 0 .*130 interrupted\.", commands.EXIT_CODES)


def test_a_waiting_file_is_cancelled_and_its_upload_given_back(
    server: Served, good: str, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server.heldout("submit", good, "-c", "biopsy") == 0
    assert server.heldout("cancel", "1") == 0
    assert "1 will not be scored; the upload is given back." in capsys.readouterr().out
    assert server.heldout("cancel", "1", "--json") == 0, "again: it is cancelled already"
    (found,) = read()
    assert (found["state"], found["problems"][0]["code"]) == ("rejected", "CANCELLED")
    server.site.run(server.site.submit("ada", CSV + b"\n"))
    assert server.heldout("cancel", "2") == 1
    assert "heldout:" in capsys.readouterr().err


def test_a_team_is_shown_and_renamed(server: Served, read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    assert server.heldout("team", "biopsy") == 0
    assert capsys.readouterr().out == "ada: ada. Final picks: none; 2 at most.\n"
    assert server.heldout("team", "biopsy", "--rename", "The Adas", "--json") == 0
    assert read()["team"] == "The Adas"


def test_an_organiser_scores_a_file_in_the_sandbox_and_a_participant_cannot(
    server: Served, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("submit", good, "-c", "biopsy", "--sandbox")
    assert server.heldout(*words) == 4
    assert "Only an organiser" in capsys.readouterr().err
    server.site.join("grace")
    assert server.heldout(*words, HELDOUT_TOKEN=server.token("grace")) == 0
    assert "never ranked" in capsys.readouterr().out


def test_team_is_formed_and_merged_by_commands(
    server: Served, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    site = server.site
    site.user("cyd")
    bob, cyd = ({"HELDOUT_TOKEN": server.token(name)} for name in ("bob", "cyd"))
    assert server.heldout("team", "biopsy", "--invite", "--days", "2", "--json") == 0
    link = read()["link"]
    assert server.heldout("team", "biopsy", "--join", link, **bob) == 0
    assert "ada: ada (captain), bob." in capsys.readouterr().out
    assert server.heldout("team", "biopsy", "--invite") == 0
    assert "For 1, until" in capsys.readouterr().out
    assert server.heldout("team", "biopsy") == 0
    assert "invite 2: used 0 of 1, until" in capsys.readouterr().out
    assert server.heldout("team", "biopsy", "--revoke", "2", "--json") == 0
    assert read()["invites"] == []
    assert server.heldout("team", "biopsy", "--captain", "bob", "--json") == 0
    assert read()["captain"] == "bob"
    assert server.heldout("team", "biopsy", "--remove", "ada", "--json", **bob) == 0
    assert read()["members"] == ["bob"]
    assert server.heldout("team", "biopsy", "--leave", **bob) == 1
    assert "only member" in capsys.readouterr().err
    site.join("cyd")
    for answer in ("--decline", "--accept"):
        assert server.heldout("team", "biopsy", "--merge", "cyd", "--json") == 0
        (offer,) = read()["offers"]
        assert server.heldout("team", "biopsy", **cyd) == 0
        assert f"offer {offer['id']}: ada offers to merge: ada, cyd" in capsys.readouterr().out
        assert server.heldout("team", "biopsy", answer, str(offer["id"]), "--json", **cyd) == 0
        shown = read()
    assert shown["members"] == ["ada", "cyd"]
    assert server.heldout("team", "biopsy", "--leave", "--merge", "bob") == 2
    assert "not --leave and --merge" in capsys.readouterr().err


def test_rules_are_shown_and_accepted_by_commands(
    server: Served, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    bob = {"HELDOUT_TOKEN": server.token("bob")}
    with server.site.database.begin() as session:
        competition = competitions.by_slug(session, server.site.slug)
        rules.publish(session, competition, "Be fair.", by="grace", now=db.now(session))
    assert server.heldout("join", "biopsy", **bob) == 4
    assert "heldout rules biopsy --accept 1" in capsys.readouterr().err
    assert server.heldout("rules", "biopsy", **bob) == 0
    assert "Be fair.\n\nVersion 1, not accepted." in capsys.readouterr().out
    assert server.heldout("join", "biopsy", "--accept-rules", "1", **bob) == 0
    capsys.readouterr()
    assert server.heldout("rules", "biopsy", "--accept", "1", "--json") == 0
    assert read()["accepted_at"] is not None


def test_announcements_are_listed_and_marked_as_read_by_a_command(
    server: Served, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    server.site.announce("A new date", "It is *later*.")
    server.site.announce("Maintenance", to_all=True)
    assert server.heldout("announcements", "biopsy", "--mark-read") == 0
    assert re.fullmatch(r"A new date  \([-\d :]+ UTC, new\)\nIt is \*later\*\.\n", capsys.readouterr().out)
    assert server.heldout("announcements", "biopsy", "--json") == 0
    assert read()["unread"] == 0
    assert server.heldout("announcements", "--json") == 0
    assert [one["title"] for one in read()["announcements"]] == ["Maintenance"]


def test_questions_are_asked_and_listed_by_commands(
    server: Served, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server.heldout("ask", "biopsy", "When is the end?", "--text", "In UTC.") == 0
    assert server.heldout("ask", "biopsy", "Is row 17 wrong?", "--private") == 0
    assert "with all.\nYour question is with the organisers." in capsys.readouterr().out
    assert server.heldout("questions", "biopsy", "--mark-read") == 0
    listed = re.sub(r", [-\d]+ [\d:]+ UTC", "", capsys.readouterr().out)
    assert "Is row 17 wrong?  (you, private)\nNo answer yet." in listed
    assert "When is the end?  (you)\nIn UTC.\nNo answer yet." in listed
    assert server.heldout("questions", "biopsy", "--json", HELDOUT_TOKEN=server.token("bob")) == 0
    assert [one["title"] for one in read()["questions"]] == ["When is the end?"]


def test_scored_submission_is_withdrawn_by_a_command(server: Served, read: Read) -> None:
    number = server.site.submit("ada")
    server.site.score(number, 0.3)
    assert server.heldout("withdraw", str(number), "--json") == 0
    assert read()[0]["is_withdrawn"]


def test_an_unlisted_competition_is_entered_by_its_private_link(
    server: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    server.site.change(visibility="unlisted")
    with server.site.database.begin() as session:
        found = competitions.by_slug(session, server.site.slug)
        secret = admissions.make_link(session, found, by="grace", now=db.now(session))
    server.site.user("cyd")
    token = server.token("cyd")
    assert server.heldout("join", "biopsy", HELDOUT_TOKEN=token) != 0
    assert server.heldout("enter", "http://there/teams/1", HELDOUT_TOKEN=token) != 0
    link = f"http://there/competitions/biopsy/enter/{secret}"
    assert server.heldout("enter", link, HELDOUT_TOKEN=token) == 0
    assert "To take part: heldout join biopsy" in capsys.readouterr().out
    assert server.heldout("join", "biopsy", HELDOUT_TOKEN=token) == 0
