"""The client over lines that break: an upload is repeated and counts once, a download goes on."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app.base.models import Submission
from heldout_client.content import Content
from heldout_client.errors import ClientError, NotAllowed, NotReachable, Refusal
from heldout_client.logins import Login
from heldout_client.participant import Participant, Submitted
from tests.client.conftest import Served
from tests.client.lines import Break, line_to
from tests.web.site import CSV

BIG = CSV + b"".join(b"%d,0.125\n" % n for n in range(3, 12_000))
CONTENT = Content("big.csv", data=BIG)


def count(server: Served) -> int:
    with server.site.database.read() as session:
        return session.scalar(select(func.count()).select_from(Submission)) or 0


BROKEN = {
    "before the head": Break(after_bytes=0),
    "in the head": Break(after_bytes=60),
    "in the middle of the file": Break(after_bytes=50_000),
    "before the answer": Break(before_answer=True),
    "in the answer": Break(answer_bytes=40),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_upload_over_a_line_that_breaks_is_repeated_and_counts_once(server: Served, name: str) -> None:
    with line_to(server.address) as line:
        participant = server.participant(address=line.address)
        line.breaks += [Break(), Break(), BROKEN[name]]  # of the competition, the board and the upload
        sent = participant.submit(CONTENT, "biopsy", checks=False)
    assert sent.state == "queued"
    assert sent.is_replay == (name in ("before the answer", "in the answer"))
    assert count(server) == 1


def test_a_command_that_ended_before_its_receipt_is_repeated_and_counts_once(server: Served) -> None:
    """The key of the upload is noted before the file is sent."""
    with line_to(server.address) as line:
        line.breaks += [Break(), Break(), *[Break(before_answer=True)] * 4]
        with pytest.raises(NotReachable):
            server.participant(address=line.address).submit(CONTENT, "biopsy", checks=False)
        assert count(server) == 1
        again = server.participant(address=line.address).submit(CONTENT, "biopsy", checks=False)
        assert again.is_replay
        assert count(server) == 1
        third = server.participant(address=line.address).submit(CONTENT, "biopsy", checks=False)
    assert not third.is_replay  # a receipt came, so sending it again is meant
    assert count(server) == 2


def test_an_upload_waits_while_the_server_restarts(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heldout_client.connection.PAUSES", (0.1,) * 50)
    with line_to(server.address) as line:
        address, port = line.address, int(line.address.rpartition(":")[2])
    sent: list[Submitted] = []
    participant = server.participant(address=address)
    upload = threading.Thread(target=lambda: sent.append(participant.submit(CONTENT, "biopsy", checks=False)))
    upload.start()
    time.sleep(0.3)  # nothing listens there meanwhile
    with line_to(server.address, port=port):
        upload.join(20)
    assert [one.state for one in sent] == ["queued"]
    assert count(server) == 1


def test_a_refused_upload_is_not_repeated_and_leaves_no_key(server: Served) -> None:
    server.site.change(is_paused=True)
    with line_to(server.address) as line:
        participant = server.participant(address=line.address)
        with pytest.raises(NotAllowed, match="paused"):
            participant.submit(CONTENT, "biopsy", checks=False)
        assert line.n_connections == 3
        server.site.change(is_paused=False)
        assert not participant.submit(CONTENT, "biopsy", checks=False).is_replay
    keys = {sent.partition(b"Idempotency-Key: ")[2][:46] for sent in line.sent if b"Idempotency-Key" in sent}
    assert len(keys) == 2


def test_a_file_that_is_too_large_is_refused_in_the_words_of_the_server(server: Served) -> None:
    """The refusal arrives while the file is still being sent."""
    server.site.change(max_upload_bytes=1000)
    with pytest.raises(Refusal, match="larger than the limit"):
        server.participant().submit(Content("x.csv", data=b"x" * 5_000_000), "biopsy", checks=False)


@pytest.mark.parametrize(
    "begun", ["nothing", "a part", "a damaged part", "too much", "all of it", "an old file"]
)
def test_a_download_goes_on_and_ends_with_the_right_bytes(server: Served, tmp_path: Path, begun: str) -> None:
    right = CSV
    start = {"a part": right[:9], "a damaged part": b"?" * 9, "too much": right + b"1", "all of it": right}
    if begun in start:
        (tmp_path / "sample_submission.csv.part").write_bytes(start[begun])
    if begun == "an old file":
        (tmp_path / "sample_submission.csv").write_bytes(b"old")
    with line_to(server.address) as line:
        participant = server.participant(address=line.address)
        (file,) = participant.download("biopsy", ["sample_submission.csv"], tmp_path)
        assert file["downloaded"]
        assert (tmp_path / "sample_submission.csv").read_bytes() == right
        assert not (tmp_path / "sample_submission.csv.part").exists()
        assert any(b"range: bytes=9-" in sent.lower() for sent in line.sent) == (
            begun in ("a part", "a damaged part")
        )
        (again,) = participant.download("biopsy", ["sample_submission.csv"], tmp_path)
    assert not again["downloaded"]


def test_a_download_over_a_line_that_breaks_asks_for_the_rest(server: Served, tmp_path: Path) -> None:
    with line_to(server.address) as line:
        line.breaks += [Break(), Break(answer_bytes=-10), Break(before_answer=True)]
        server.participant(address=line.address).download("biopsy", ["sample_submission.csv"], tmp_path)
    assert (tmp_path / "sample_submission.csv").read_bytes() == CSV
    assert any(b"range: bytes=" in sent.lower() for sent in line.sent)


def test_a_token_is_never_sent_to_another_address(server: Served) -> None:
    with line_to(server.address) as line:
        pass
    for address, error in ((line.address, NotReachable), (server.address + "/nowhere", ClientError)):
        with pytest.raises(error):
            Participant(Login(address, server.token()), server.env).me()
