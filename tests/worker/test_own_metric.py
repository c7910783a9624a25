"""An organiser's own metric through a worker, and who reads what of its end."""

from __future__ import annotations

import pytest

import scorer
from app.authoring import publishing
from app.base import db
from app.base.errors import Refused
from app.base.models import State
from app.competing import competitions, statuses
from app.people import accounts, tokens
from app.web.application import create_app
from scorer.sandbox import levels, sandbox
from tests.conftest import missing, on_sqlite
from tests.worker.conftest import Platform
from tests.worker.test_jobs import run

METRIC = '''\
"""Mean absolute error, which some files do not get."""

class ParticipantVisibleError(Exception):
    pass

def score(solution, submission, row_id_column_name):
    print("LABELS", solution["target"].tolist()[:3])
    highest = submission["target"].max()
    if highest > 0.9:
        raise ParticipantVisibleError("No value may be above 0.9")
    if highest > 0.8:
        raise RuntimeError(f"TRUTH {solution['target'][0]}")
    return float((solution["target"] - submission["target"]).abs().mean())
'''


@pytest.fixture
def own(platform: Platform) -> Platform:
    """The platform's challenge with a metric of its organiser's."""
    # In the parent, as a worker does, so that every work-horse shares what was started.
    if not sandbox.isolation().is_enough:
        missing("A sandbox of level standard", levels.too_weak(sandbox.isolation()))
    folder = platform.installation.settings.data_dir.parent / "coins"
    for part in ("public", "private"):
        (folder / part).mkdir(parents=True)
    ids = [str(number) for number in range(1, 9)]
    usage = ["Public", "Private"] * 4
    (folder / "challenge.yaml").write_text(
        "title: Coins\nmetric: {file: metric.py, greater_is_better: false}\n"
        "submission: {id: id, columns: [target]}\n"
        "competition: {daily_limit: 1000, pending_limit: 1000}\n"
    )
    (folder / "private/metric.py").write_text(METRIC)
    (folder / "private/solution.csv").write_text(
        "id,target,Usage\n"
        + "".join(f"{i},{n % 2},{u}\n" for n, (i, u) in enumerate(zip(ids, usage, strict=True)))
    )
    (folder / "public/sample_submission.csv").write_text(file("0.5"))
    publishing.publish(platform.installation, scorer.load(folder), actor="test", rescore=True)
    return Platform(platform.installation, folder)


def file(value: str) -> str:
    return "id,target\n" + "".join(f"{number},{value}\n" for number in range(1, 9))


def as_participant(platform: Platform, submission_id: int) -> tuple[statuses.Status, str]:
    """What ada may know of her submission: as the core tells it, and as the API's text."""
    with platform.database.begin() as session:
        now = db.now(session)
        competition = competitions.by_slug(session, "coins")
        (status,) = statuses.statuses(session, competition, now=now, submission_id=submission_id)
        token = tokens.issue(session, accounts.by_name(session, "ada").id, "test", now=now)
    client = create_app(platform.installation.settings, database=platform.database).test_client()
    answer = client.get(f"/api/v1/submissions/{submission_id}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    return status, answer.get_data(as_text=True)


@on_sqlite
def test_every_outcome_of_an_own_metric_is_reported_to_the_right_role(own: Platform) -> None:
    good, refused, failing = (own.submit(file(value).encode()) for value in ("0.25", "0.95", "0.85"))
    run(own, good)

    status = own.status(good)
    assert (status.state, status.public_exact, status.private) == (State.SCORED, 0.25, 0.75)
    assert status.provenance
    assert status.provenance["metric_isolation"] == sandbox.isolation().level
    assert status.provenance["metric"] == "metric"

    status = own.status(refused)
    assert status.state is State.REJECTED
    assert [(p["code"], p["message"]) for p in status.problems] == [
        ("METRIC_REFUSED", "No value may be above 0.9")
    ]

    status = own.status(failing)
    assert status.state is State.QUEUED  # to be tried again
    assert status.fault
    assert "On the private rows the metric raised RuntimeError: TRUTH 1" in status.fault
    assert "LABELS [0, 0, 0]" in status.fault
    assert 'File "metric.py", line 12' in status.fault

    for submission in (good, refused, failing):
        shown, answer = as_participant(own, submission)
        assert shown.fault is None
        for secret in ("LABELS", "TRUTH", "RuntimeError", "metric.py", "isolation"):
            assert secret not in answer
    assert "No value may be above 0.9" in as_participant(own, refused)[1]


@on_sqlite
def test_a_worker_on_a_weak_machine_says_what_is_missing_to_the_organiser(
    own: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = levels.Isolation("basic", "Linux 5.4", 0, ("rlimits", "seccomp"), {"read a file": "open"})
    monkeypatch.setattr(sandbox, "isolation", lambda: weak)
    submission = own.submit(file("0.25").encode())
    run(own, submission)
    status = own.status(submission)
    assert status.public is None
    assert "needs isolation of level standard; this machine gives basic" in (status.fault or "")
    assert as_participant(own, submission)[0].fault is None


@on_sqlite
def test_labels_that_no_check_can_judge_are_published_only_with_a_reason(own: Platform) -> None:
    (own.folder / "private/metric.py").write_text(
        "def score(solution, submission, row_id_column_name):\n"
        "    return float((solution['target'] == submission['target']).mean())\n"
    )
    rows = "".join(f"{n},an answer of {n},{'Public' if n % 2 else 'Private'}\n" for n in range(1, 9))
    (own.folder / "private/solution.csv").write_text("id,target,Usage\n" + rows)
    challenge = scorer.load(own.folder)
    with pytest.raises(Refused, match="could not be checked, so nothing was published") as refusal:
        publishing.publish(own.installation, challenge, actor="test", rescore=True)
    assert "column target holds texts that hardly repeat" in str(refusal.value)
    assert "--override" in str(refusal.value)
    reasons = {"not_checked": "Every public file was read by two people."}
    publishing.publish(own.installation, challenge, actor="test", rescore=True, overrides=reasons)
