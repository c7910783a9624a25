"""Submitting from a notebook: tables, arrays and files, cards, and the magic."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import heldout_client
from heldout_client.errors import BadFile, ClientError
from heldout_client.participant import Submitted
from tests.client.conftest import Served
from tests.web.site import CSV

FRAME = pd.DataFrame({"id": [1, 2], "target": [0.5, 0.25]})


@pytest.fixture
def signed_in(server: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    for name, value in (
        *server.env.items(),
        ("HELDOUT_URL", server.address),
        ("HELDOUT_TOKEN", server.token()),
    ):
        monkeypatch.setenv(name, value)
    return server


def sent_bytes(server: Served, submission_id: int) -> str:
    answer = server.site.visitor().get(
        f"/api/v1/submissions/{submission_id}/file", headers=server.site.token("ada")
    )
    return answer.text


PREDICTIONS: dict[str, Any] = {
    "a table": FRAME,
    "a table with its ids as index": FRAME.set_index("id"),
    "a series with its ids as index": FRAME.set_index("id")["target"],
    "an array": np.array([0.5, 0.25]),
    "an array of one column": np.array([[0.5], [0.25]]),
    "a list": [0.5, 0.25],
}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_predictions_of_every_kind_arrive_as_the_same_file(signed_in: Served, name: str) -> None:
    sent = heldout_client.submit(PREDICTIONS[name], "biopsy", message=name, wait=False)
    assert sent_bytes(signed_in, sent.id) == CSV.decode()


def test_a_path_is_sent_as_it_is(signed_in: Served, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(CSV)
    sent = heldout_client.submit(path, "biopsy", wait=False)
    assert (sent.filename, sent.state, sent.place_in_queue) == ("mine.csv", "queued", 1)


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "too few rows": ([0.5], ClientError, "The array has 1 rows; biopsy needs 2."),
    "too many columns": ([[0.5, 0.5], [0.5, 0.5]], ClientError, "needs 1 values, not 2"),
    "no table": (7, ClientError, "int is no table, array or path"),
    "a value out of range": ([0.5, 7.0], BadFile, "nothing was sent"),
    "a missing id": (FRAME[:1], BadFile, "nothing was sent"),
}


@pytest.mark.parametrize("name", WRONG)
def test_predictions_that_cannot_be_sent_are_refused_before_anything_is_sent(
    signed_in: Served, name: str
) -> None:
    given, error, words = WRONG[name]
    with pytest.raises(error, match=re.escape(words)):
        heldout_client.submit(given, "biopsy", wait=False)
    assert signed_in.participant().submissions("biopsy", 10) == []


def test_a_check_is_true_for_a_good_file_and_shows_the_problems_of_a_bad_one(signed_in: Served) -> None:
    assert heldout_client.check(FRAME, "biopsy")
    checked = heldout_client.check([0.5, "<b>x"], "biopsy")
    assert not checked
    assert "[NOT_A_NUMBER]" in repr(checked)
    card = checked._repr_html_()
    assert "&lt;b&gt;x" in card
    assert "<b>x" not in card


def test_the_card_shows_place_score_and_rank_in_light_and_dark() -> None:
    queued = Submitted(3, "biopsy", "a.csv", "queued", place_in_queue=2, metric="log_loss", page="http://h/3")
    assert "<dt>place in the queue</dt><dd>2</dd>" in queued._repr_html_()
    scored = Submitted(
        3,
        "biopsy",
        "a.csv",
        "scored",
        score=0.125,
        metric="log_loss",
        rank=2,
        rank_before=5,
        page="http://h/3",
    )
    card = scored._repr_html_()
    for part in (
        "<dt>log_loss</dt><dd>0.125</dd>",
        "<dd>2, up 3</dd>",
        "prefers-color-scheme:dark",
        "http://h/3",
    ):
        assert part in card


class Shell:
    """What the magic uses of IPython."""

    def __init__(self, **names: Any) -> None:
        self.user_ns = names
        self.magics: dict[str, Any] = {}

    def register_magic_function(self, run: Any, kind: str, name: str) -> None:
        assert kind == "line"
        self.magics[name] = run


def test_the_magic_sends_a_variable_or_a_file(signed_in: Served, tmp_path: Path) -> None:
    shell = Shell(predictions=FRAME)
    heldout_client.load_ipython_extension(shell)
    sent = shell.magics["submit"]('predictions biopsy -m "from a cell" --no-wait')
    (listed,) = signed_in.participant().submissions("biopsy", 10)
    assert (listed["id"], listed["message"]) == (sent.id, "from a cell")
    with pytest.raises(ClientError, match="no file nothing"):
        shell.magics["submit"]("nothing.csv biopsy")
    with pytest.raises(ClientError, match="Write: %submit predictions"):
        shell.magics["submit"]("predictions")


def test_a_notebook_joins_and_downloads_without_the_command(
    signed_in: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELDOUT_TOKEN", signed_in.token("bob"))
    assert heldout_client.join("biopsy") == "bob"
    paths = heldout_client.download("biopsy", tmp_path / "data")
    assert (tmp_path / "data" / "sample_submission.csv").read_bytes() == CSV
    assert len(paths) == 3
    sent = heldout_client.submit(paths[0].with_name("sample_submission.csv"), "biopsy", wait=False)
    assert repr(sent) == f"submission 1 queued, place 1  {signed_in.address}/submissions/1"
