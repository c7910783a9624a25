"""The vault in a bucket, shared by hosts that share no folder."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import boto3
import moto.settings
import pytest

import scorer
from app.authoring import publishing
from app.base import config, db, storage, vault
from app.base.config import Settings
from app.base.errors import Refused, Unavailable
from app.base.installation import Installation
from app.base.models import ChallengeVersion, Evaluation, State
from app.base.storage import BucketStorage
from app.base.vault import Vault
from app.competing import competitions
from app.operating import backup, doctor, verification
from app.people import accounts
from tests.app.base.test_bucket import endpoint
from tests.servers import ROOT, environment, heldout
from tests.worker.conftest import Platform
from worker import jobs

__all__ = ["endpoint"]

# Only the garbage collector closes boto3's connections to the server.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SOLUTION = "private/solution.csv"


def client(endpoint: str, service: str = "s3") -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )


@pytest.fixture
def here(endpoint: str, tmp_path: Path, sqlite_template: Path) -> Settings:
    """The publishing host."""
    uploads, solutions = f"u{os.urandom(6).hex()}", f"v{os.urandom(6).hex()}"
    for bucket in (uploads, solutions):
        client(endpoint).create_bucket(Bucket=bucket)
    settings = Settings(
        data_dir=tmp_path / "here",
        storage_url=f"s3://{uploads}",
        s3_endpoint=endpoint,
        s3_region="us-east-1",
        s3_key="key",
        s3_secret="secret",
        vault_url=f"s3://{solutions}/the/vault",
        vault_key="opener",
        vault_secret="secret",
    )
    config.prepare_data_dir(settings)
    shutil.copy(sqlite_template, settings.data_dir / "heldout.db")
    return settings


@pytest.fixture
def there(here: Settings, tmp_path: Path) -> Settings:
    """A scoring host with the same database and buckets and its own folder."""
    return replace(here, data_dir=tmp_path / "there", database_url=here.database)


@pytest.fixture(scope="module")
def challenge(challenge_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> scorer.Challenge:
    """A challenge without examples and baselines, to save requests."""
    folder = tmp_path_factory.mktemp("few") / "coins"
    shutil.copytree(challenge_folder, folder, ignore=shutil.ignore_patterns("examples", "baselines"))
    definition = folder / "challenge.yaml"
    definition.write_text(definition.read_text().partition("\nexamples:")[0])
    return scorer.load(folder)


@pytest.fixture
def platform(here: Settings, challenge: scorer.Challenge, checked: scorer.CheckResult) -> Iterator[Platform]:
    installation = Installation(here)
    publishing.publish(installation, challenge, actor="test", checked=checked)
    with installation.database.begin() as session:
        accounts.register(session, "ada", None, now=db.now(session))
        competitions.by_slug(session, "coins").daily_limit = 1000
    yield Platform(installation, challenge.folder)
    installation.database.dispose()


def objects(settings: Settings) -> dict[str, Any]:
    bucket, _, prefix = settings.vault_url.removeprefix("s3://").partition("/")
    found = client(settings.s3_endpoint).list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {entry["Key"].rsplit("/", 1)[1]: entry for entry in found}


def change(settings: Settings, sha256: str, body: bytes | None) -> None:
    """Change or delete an object by hand."""
    where = {"Bucket": settings.vault_url.split("/")[2], "Key": f"the/vault/{sha256[:2]}/{sha256}"}
    if body is None:
        client(settings.s3_endpoint).delete_object(**where)
    else:
        client(settings.s3_endpoint).put_object(**where, Body=body)


def command(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    given = {f.name: getattr(settings, f.name) for f in fields(Settings)}
    changed = {name: str(value) for name, value in given.items() if value != getattr(Settings, name)}
    return heldout(settings.data_dir, *words, **{f"HELDOUT_{k.upper()}": v for k, v in changed.items()})


def in_a_child(run: Any) -> int:
    child = os.fork()
    if child == 0:
        try:
            os._exit(run())
        except BaseException:  # noqa: BLE001  a forked pytest must never go on
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def files_below(folder: Path) -> set[str]:
    """Return the files that are not empty, so no locks."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.stat().st_size}


def due(platform: Platform) -> None:
    """End the pause before the next attempt."""
    with platform.database.begin() as session:
        session.query(Evaluation).one().next_try_at = db.now(session)


def test_one_host_publishes_and_another_scores_and_verifies(
    platform: Platform, here: Settings, there: Settings, challenge: scorer.Challenge
) -> None:
    submission = platform.submit(platform.sample())
    config.prepare_data_dir(there)
    assert in_a_child(jobs.Runner(there, db.open_(there, pooled=False)).run) == 1
    assert platform.status(submission).state is State.SCORED
    assert len(list((there.data_dir / "cache").glob("??/*"))) == 1, "the submission"
    assert files_below(here.vault) == set(), "the publisher keeps no copy"
    copy = there.vault / challenge.digest
    assert (copy / SOLUTION).read_bytes() == (challenge.folder / SOLUTION).read_bytes()
    assert stat.S_IMODE(there.vault.stat().st_mode) == 0o700
    assert not any(stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (copy, *copy.rglob("*")))
    assert verification.verify(
        Installation(replace(there, data_dir=there.data_dir / "third")), submission
    ).is_equal


def test_a_backup_of_a_bucket_restores_to_a_bucket_and_to_a_folder(
    platform: Platform, here: Settings, challenge: scorer.Challenge, tmp_path: Path
) -> None:
    platform.submit(platform.sample())
    archive = tmp_path / "b.tar"
    backup.write(
        here, platform.database, platform.installation.storage, archive, with_solutions=True, passphrase=None
    )
    anew = replace(here, data_dir=tmp_path / "anew", vault_url=here.vault_url.replace("/the/", "/another/"))
    folder = replace(here, data_dir=tmp_path / "folder", vault_url="")
    for settings in (anew, folder):
        assert backup.restore(settings, archive, passphrase=None).solutions == 1
        assert vault.open_(settings).check(challenge.digest) is None
        database = db.open_(settings, pooled=False)
        assert in_a_child(jobs.Runner(settings, database).run) == 1
        database.dispose()
    assert not list(folder.vault.glob(".restored-*"))


def test_a_changed_solution_is_neither_backed_up_nor_restored(
    challenge: scorer.Challenge, tmp_path: Path
) -> None:
    kept = Vault(tmp_path / "vault")
    kept.put(challenge)
    (kept.folder / challenge.digest / SOLUTION).write_text("id,target,Usage\n1,1,Public\n")
    with pytest.raises(Unavailable, match=r"is not what was published\. `heldout vault put FOLDER`"):
        kept.files(challenge.digest)
    other = tmp_path / "vault/other"
    challenge.copy_to(other)
    (other / "challenge.yaml").write_text("title: Other\n")
    with pytest.raises(Refused, match="does not match its digest"):
        kept.receive(challenge.digest, other)
    kept.put(challenge)  # the remedy
    assert kept.check(challenge.digest) is None
    assert {name for name, _ in kept.files(challenge.digest)} >= {"challenge.yaml", SOLUTION}


def test_a_failed_publication_leaves_no_usable_version(
    here: Settings,
    there: Settings,
    challenge: scorer.Challenge,
    checked: scorer.CheckResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = BucketStorage.send

    def until_the_list(self: BucketStorage, spooled: Path, blob: storage.Blob) -> None:
        if blob.sha256 == challenge.digest:
            raise Unavailable("Storage does not answer. " + storage.AGAIN)
        send(self, spooled, blob)

    installation = Installation(here)
    with monkeypatch.context() as patched, pytest.raises(Unavailable, match="The list of files of version"):
        patched.setattr(BucketStorage, "send", until_the_list)
        publishing.publish(installation, challenge, actor="test", checked=checked)
    assert len(objects(here)) > 4, "all but the list"
    with installation.database.read() as session:
        assert session.query(ChallengeVersion).count() == 0
    with pytest.raises(Unavailable, match=r"is not there\. `heldout vault put FOLDER`"):
        vault.open_(there).load(challenge.digest)
    assert files_below(there.vault) == files_below(here.vault) == set(), "no hidden file is left"

    publishing.publish(installation, challenge, actor="test", checked=checked)
    made = objects(here)
    publishing.publish(installation, challenge, actor="test", checked=checked)
    assert objects(here) == made, "a second time nothing is written"
    assert vault.open_(there).load(challenge.digest).solution_digest == challenge.solution_digest
    installation.database.dispose()


def test_a_changed_object_is_refused_reported_and_restored(
    platform: Platform, here: Settings, there: Settings, challenge: scorer.Challenge
) -> None:
    config.prepare_data_dir(there)
    change(here, challenge.solution_digest, b"id,target,Usage\n1,1,Public\n")
    submission = platform.submit(platform.sample())
    runner = jobs.Runner(there, platform.database)
    assert in_a_child(runner.run) == 1
    status = platform.status(submission)
    assert (status.state, status.attempt) == (State.QUEUED, 1), "no fault of the file, so it is tried again"
    assert (
        f"{SOLUTION} of version {challenge.digest[:12]} in the vault {here.vault_url} was changed"
        in status.fault
    )
    assert files_below(there.vault) == set()

    told = doctor.solutions(platform.installation.vault, [challenge.digest])
    assert not told.is_ok
    assert "was changed since it was published" in told.words
    unlike = shutil.copytree(challenge.folder, there.data_dir / "unlike")
    (unlike / "description.md").write_text("Other words.")
    old = Vault(there.data_dir / "old")  # from before the bucket
    old.put(challenge)
    done = command(here, "vault", "put", str(unlike), str(old.home(challenge.digest)))
    assert f"version {challenge.digest[:12]} is in the vault {here.vault_url}." in done.stdout
    assert done.returncode == 2
    assert "No published version: " in done.stderr
    assert doctor.solutions(platform.installation.vault, [challenge.digest]).is_ok
    due(platform)
    assert in_a_child(runner.run) == 1
    assert platform.status(submission).state is State.SCORED


def test_a_damaged_copy_is_fetched_again(
    here: Settings, there: Settings, challenge: scorer.Challenge
) -> None:
    vault.open_(here).put(challenge)
    copies = vault.open_(there)
    home = copies.home(challenge.digest)
    file = home / SOLUTION
    right = file.read_bytes()
    for damage in ("cut", "lost", "unlisted", "rotten"):
        last_written = file.stat().st_mtime_ns
        if damage in ("lost", "unlisted"):
            (file if damage == "lost" else home / vault.LIST).unlink()
        else:
            file.chmod(0o600)
            file.write_bytes(right[:-9] if damage == "cut" else right.replace(b"1", b"0"))
        if damage == "rotten":  # undetected, as on a disk: only the doctor reads every byte
            os.utime(file, ns=(last_written, last_written))
            assert doctor.solutions(copies, [challenge.digest]).is_ok
        assert copies.home(challenge.digest) == home
        assert file.read_bytes() == right, damage
    number = file.stat().st_ino
    copies.home(challenge.digest)
    assert file.stat().st_ino == number, "an undamaged copy is not fetched again"


def test_a_corrupted_solution_produces_no_score(
    here: Settings, there: Settings, challenge: scorer.Challenge
) -> None:
    sample = challenge.folder / "public/sample_submission.csv"
    right = scorer.score(challenge, sample).public
    vault.open_(here).put(challenge)
    copies, folder = vault.open_(there), Vault(there.data_dir / "folder")
    folder.put(challenge)
    for kept in (copies, folder):
        file = kept.home(challenge.digest) / SOLUTION
        last_written, content = file.stat().st_mtime_ns, file.read_text()
        file.chmod(0o600)
        file.write_text(content.replace(",1,", ",x,").replace(",0,", ",1,").replace(",x,", ",0,"))
        os.utime(file, ns=(last_written, last_written))
        if kept is folder:  # only the doctor reads there
            assert (
                scorer.score(kept.load(challenge.digest), sample).provenance["solution"]
                != challenge.solution_digest
            )
            kept.put(challenge)
        mended = kept.load(challenge.digest)
        assert mended.solution_digest == challenge.solution_digest
        assert scorer.score(mended, sample).public == right
    # Nor if the bucket cannot restore it.
    file = copies.home(challenge.digest) / SOLUTION
    last_written = file.stat().st_mtime_ns
    file.chmod(0o600)
    file.write_bytes(file.read_bytes() + b"\n")
    os.utime(file, ns=(last_written, last_written))
    change(here, challenge.solution_digest, None)
    with pytest.raises(Unavailable, match="is not there"):
        copies.load(challenge.digest)


def test_concurrent_processes_fetch_a_version_once_and_delete_partial_copies(
    here: Settings, there: Settings, challenge: scorer.Challenge, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.open_(here).put(challenge)
    left = there.vault / f".{challenge.digest}/new/private"
    left.mkdir(parents=True)
    (left / "solution.csv").write_text("half")
    fetched = there.data_dir / "fetched"
    fetch = vault.BucketVault._fetch

    def noted(self: vault.BucketVault, draft: Path, digest: str) -> None:
        with fetched.open("a") as notes:
            notes.write("once\n")
        fetch(self, draft, digest)

    monkeypatch.setattr(vault.BucketVault, "_fetch", noted)
    children = []
    for _ in range(4):
        if (child := os.fork()) == 0:
            try:
                os._exit(
                    vault.open_(there).load(challenge.digest).solution_digest != challenge.solution_digest
                )
            except BaseException:  # noqa: BLE001  a forked pytest must never go on
                os._exit(99)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert fetched.read_text() == "once\n"
    assert not left.exists()


def user(endpoint: str, bucket: str, *may: str) -> tuple[str, str]:
    """Create a key with these rights on one bucket only."""
    iam, name = client(endpoint, "iam"), f"u{os.urandom(6).hex()}"
    there = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": may, "Resource": there}]}
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def test_the_web_processs_keys_do_not_open_the_vault(
    here: Settings,
    there: Settings,
    endpoint: str,
    challenge: scorer.Challenge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server checks the key and its rights."""
    uploads, solutions = here.storage_url.split("/")[2], here.vault_url.split("/")[2]
    webs = user(endpoint, uploads, "s3:*")
    publishers, workers = user(endpoint, solutions, "s3:*"), user(endpoint, solutions, "s3:Get*", "s3:List*")
    monkeypatch.setattr(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)

    def opened_by(host: Settings, key: tuple[str, str]) -> Vault:
        return vault.open_(replace(host, vault_key=key[0], vault_secret=key[1]))

    opened_by(here, publishers).put(challenge)
    assert opened_by(there, workers).load(challenge.digest).solution_digest == challenge.solution_digest
    web = replace(here, data_dir=tmp_path / "web", s3_key=webs[0], s3_secret=webs[1])
    with pytest.raises(Unavailable, match=r"denies access to its bucket \w+\. Check HELDOUT_VAULT_URL"):
        opened_by(web, webs).load(challenge.digest)
    with pytest.raises(Unavailable, match="denies access"):
        storage.open_(replace(web, storage_url=here.vault_url)).path(challenge.solution_digest)
    assert not (web.vault / challenge.digest).exists()


def test_faults_of_the_bucket_are_refused_in_words(here: Settings, challenge: scorer.Challenge) -> None:
    gone = vault.open_(replace(here, vault_url="s3://no-such-bucket"))
    with pytest.raises(Unavailable, match=f"version {challenge.digest[:12]} in .*no bucket no-such-bucket"):
        gone.load(challenge.digest)
    away = vault.open_(replace(here, vault_endpoint="http://127.0.0.1:9"))
    with pytest.raises(Unavailable, match=r"Storage does not answer\. Check HELDOUT_VAULT_URL"):
        away.load(challenge.digest)


def test_the_web_process_opens_no_vault_even_if_it_is_configured(here: Settings, tmp_path: Path) -> None:
    """The workers' settings in the web's environment have no effect."""
    code = (
        "import sys; from app.base import config; from app.web.application import create_app\n"
        "create_app(config.load()); assert 'app.base.vault' not in sys.modules"
    )
    env = environment(tmp_path, {"HELDOUT_VAULT_URL": here.vault_url})
    subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, check=True)
