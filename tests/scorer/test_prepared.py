"""Tests of prepared solutions.

They give the same numbers as the CSV, whatever happens to their folder.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

import scorer
from scorer.challenges import prepared
from tests.scorer.conftest import Write
from tests.scorer.many import KINDS

FLOATS = KINDS["floats"]


def saved(folder: Path, kept: Path) -> Path:
    """Return the prepared solution in `kept`."""
    scorer.load(folder, prepared=kept)
    (own,) = kept.iterdir()
    return own


def from_disk(folder: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> scorer.Challenge:
    """Return the challenge, loaded without reading its CSV again."""

    def never(*_: object) -> None:
        raise AssertionError("the solution was read again")

    with monkeypatch.context() as patch:
        patch.setattr("scorer.challenges.challenge._read_solution", never)
        return scorer.load(folder, prepared=kept)


def outcome(challenge: scorer.Challenge, data: bytes) -> object:
    """Return the report, or the problems of the refusal."""
    try:
        return scorer.score(challenge, data)
    except scorer.InvalidSubmission as refusal:
        return [problem.as_dict() for problem in refusal.problems]


@pytest.mark.parametrize("name", KINDS)
def test_a_saved_solution_scores_bit_for_bit_like_a_fresh_one(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whole numbers as bytes must not lower the precision.

    RMSLE of pooled columns was once computed with eleven bits.
    """
    kind = KINDS[name]
    folder = kind.folder(write)
    saved(folder, tmp_path / "kept")
    fresh, mapped = scorer.load(folder), from_disk(folder, tmp_path / "kept", monkeypatch)
    good = kind.text().encode()
    assert isinstance(outcome(fresh, good), scorer.Report)
    for data in (good, good.replace(b"\n", b"\n\n"), good[:-5], good + b"x,y\n", good + good):
        assert outcome(mapped, data) == outcome(fresh, data)
    assert mapped.manifest() == fresh.manifest()


def test_a_mapped_solution_cannot_be_changed_by_accident(write: Write, tmp_path: Path) -> None:
    scorer.load(FLOATS.folder(write), prepared=tmp_path / "kept")
    solution = scorer.load(FLOATS.folder(write), prepared=tmp_path / "kept").solution
    for array in (solution.usage, solution.given[0][0].truth[0]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1  # type: ignore[index]


def test_another_version_of_the_challenge_is_saved_separately(write: Write, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    for name in ("floats", "whole numbers"):
        kind = KINDS[name]
        folder = kind.folder(write)
        for _ in range(2):
            challenge = scorer.load(folder, prepared=kept)
            assert outcome(challenge, kind.text().encode()) == outcome(
                scorer.load(folder), kind.text().encode()
            )
    assert len(list(kept.iterdir())) == 2


def test_a_version_with_other_cells_is_saved_separately(write: Write, tmp_path: Path) -> None:
    """As after an upgrade of the program.

    The challenge's digest is the same and the arrays are not.
    """
    kept = tmp_path / "kept"
    for metric in ("accuracy", "mse"):
        challenge = scorer.load(
            replace(FLOATS, metric=metric, after="").folder(write), digest="same", prepared=kept
        )
        assert challenge.solution.task.cells("y").kind == ("label" if metric == "accuracy" else "number")
        assert isinstance(outcome(challenge, FLOATS.text().encode()), scorer.Report)
    assert len(list(kept.iterdir())) == 2


def test_another_format_is_prepared_again(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, kept = FLOATS.folder(write), tmp_path / "kept"
    own = saved(folder, kept)
    before = (own / "solution.json").read_text()
    monkeypatch.setattr(prepared, "FORMAT", prepared.FORMAT + 1)
    assert prepared.open_(own, scorer.load(folder).solution.tasks) is None
    scorer.load(folder, prepared=kept)
    assert (own / "solution.json").read_text() != before
    from_disk(folder, kept, monkeypatch)
    assert list(kept.iterdir()) == [own]


def test_a_half_written_folder_is_never_visible(write: Write, tmp_path: Path) -> None:
    folder, kept = FLOATS.folder(write), tmp_path / "kept"
    own = saved(folder, kept)
    half = kept / f".{own.name}-0123"
    own.rename(half)
    (half / "solution.json").unlink()
    data = FLOATS.text().encode()
    assert outcome(scorer.load(folder, prepared=kept), data) == outcome(scorer.load(folder), data)
    assert own.is_dir()


def test_temporary_folders_of_killed_processes_are_deleted(write: Write, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    old, young = (kept / f".abc-{name}" for name in ("old", "young"))
    for draft in (old, young):
        draft.mkdir(parents=True)
    os.utime(old, (0, 0))
    scorer.load(FLOATS.folder(write), prepared=kept)
    assert (old.exists(), young.exists()) == (False, True)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no list of contents": lambda own: (own / "solution.json").unlink(),
    "a cut list of contents": lambda own: (own / "solution.json").write_text('{"format'),
    "an empty list of contents": lambda own: (own / "solution.json").write_text(""),
    "another list of contents": lambda own: (own / "solution.json").write_text("[]"),
    "no column": lambda own: (own / "column0.npy").unlink(),
    "an empty column": lambda own: (own / "column0.npy").write_bytes(b""),
    "a cut column": lambda own: (own / "column0.npy").write_bytes((own / "column0.npy").read_bytes()[:-9]),
    "no usage": lambda own: (own / "usage.npy").unlink(),
    "no ids": lambda own: shutil.rmtree(own / "ids"),
    "a file in its place": lambda own: own.rename(own.with_name(".away")).joinpath("usage.npy").rename(own),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_prepared_again(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """A power failure leaves empty files.

    Every later submission failed.
    """
    folder, kept = FLOATS.folder(write), tmp_path / "kept"
    DAMAGES[damage](saved(folder, kept))
    data = FLOATS.text().encode()
    assert outcome(scorer.load(folder, prepared=kept), data) == outcome(scorer.load(folder), data)
    from_disk(folder, kept, monkeypatch)


def test_a_folder_that_cannot_be_written_costs_only_time(write: Write) -> None:
    # Not even root can make folders here.
    challenge = scorer.load(FLOATS.folder(write), prepared=Path("/proc/prepared"))
    assert isinstance(outcome(challenge, FLOATS.text().encode()), scorer.Report)


def test_a_read_only_folder_is_enough(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, kept = FLOATS.folder(write), tmp_path / "kept"
    for path in (own := saved(folder, kept), kept, *own.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    challenge = from_disk(folder, kept, monkeypatch)
    assert isinstance(outcome(challenge, FLOATS.text().encode()), scorer.Report)
    for path in (kept, own, own / "ids"):
        path.chmod(0o755)


def test_saving_twice_leaves_one_folder_and_no_temporary_files(write: Write, tmp_path: Path) -> None:
    challenge = scorer.load(FLOATS.folder(write))
    for _ in range(2):
        prepared.save(challenge.solution, tmp_path / "kept/own")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["own"]


def _load_at_once(barrier: Barrier, folder: Path, kept: Path) -> None:
    barrier.wait(20)
    challenge = scorer.load(folder, prepared=kept)
    assert isinstance(outcome(challenge, FLOATS.text().encode()), scorer.Report)


def test_processes_may_save_at_once(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, kept = FLOATS.folder(write), tmp_path / "kept"
    forking = multiprocessing.get_context("fork")
    barrier = forking.Barrier(4)
    children = [forking.Process(target=_load_at_once, args=(barrier, folder, kept)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0] * 4
    assert len(list(kept.iterdir())) == 1
    from_disk(folder, kept, monkeypatch)
