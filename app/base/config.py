"""Settings of an installation: type, default, unit and help text.

They are read once, where a process starts. A value comes from the environment (`HELDOUT_PORT`), else from a
file (`port = 7777`), else from the default here; an empty value is no value, except of a text that may be
empty. The file is the one that HELDOUT_CONFIG names, else `heldout.toml` in the data folder; never one of the
current folder, which may be another author's challenge. `heldout config` prints them all.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import secrets
import shlex
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from app.base import data_origin, mail_settings
from app.base.errors import Misconfigured
from scorer.report import Problem


def _setting(default: Any, help_text: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"help": help_text, "secret": secret})


@dataclass(frozen=True)
class Settings:
    data_dir: Path = _setting(Path("data"), "Folder for all data of this installation.")
    database_url: str = _setting("", "SQLAlchemy URL; empty: SQLite in the data folder.", secret=True)
    redis_url: str = _setting(
        "",
        "Redis or Valkey URL; empty: the embedded Valkey; none: no queue, workers poll the database.",
        secret=True,
    )
    storage_url: str = _setting(
        "", "Storage of uploads, file:///PATH or s3://BUCKET/PREFIX; empty: in the data folder."
    )
    vault_dir: str = _setting(
        "", "Folder of the hidden solutions, for workers only; empty: in the data folder."
    )
    secret_key: str = _setting(
        "", "Key that signs cookies and jobs; empty: generated once, stored with mode 0600.", secret=True
    )

    host: str = _setting("127.0.0.1", "Address the web server listens on.")
    port: int = _setting(7777, "Port the web server listens on; 0: any free port.")
    web_processes: int = _setting(1, "Web processes; 1 with SQLite, whose lock is unfair.")
    web_threads: int = _setting(8, "Threads of each web process.")
    workers: int = _setting(2, "Scoring workers that `heldout serve` starts.")
    cookie_secure: bool = _setting(False, "Send cookies over HTTPS only; set it behind a proxy with TLS.")
    proxies: int = _setting(0, "Trusted reverse proxies in front of the web server.")
    registration: str = _setting(
        "open", "Sign-up on the web site: open, or closed (accounts by command only)."
    )
    session_days: int = _setting(30, "Days until a browser must sign in again.")

    max_upload_mb: int = _setting(100, "Largest upload, in MB; a competition may set less.")
    job_seconds: int = _setting(300, "Time limit for scoring one submission, in seconds.")
    job_memory_mb: int = _setting(4096, "Memory a scoring job may use beyond its worker's own, in MB.")
    allow_weak_sandbox: bool = _setting(
        False, "Run organisers' own metrics on a machine that cannot isolate them well."
    )
    lease_seconds: int = _setting(
        30, "Another worker may take over an evaluation after this time without renewal, in seconds."
    )
    sweep_seconds: float = _setting(2.0, "Pause between two sweeps for unfinished work, in seconds.")
    hint_seconds: int = _setting(
        15, "A hint for a queued evaluation is repeated after this time, in seconds."
    )
    log_level: str = _setting("info", "Log level: debug, info, warning or error.")
    s3_endpoint: str = _setting("", "URL of S3-compatible storage; empty: Amazon S3.")
    s3_region: str = _setting("", "Region of the bucket; empty: from the AWS environment.")
    s3_key: str = _setting(
        "", "Access key for storage; empty: from the AWS environment or the instance's role.", secret=True
    )
    s3_secret: str = _setting("", "Secret of the access key.", secret=True)
    cache_mb: int = _setting(2000, "Cache of files from a bucket, in MB; files in use may exceed it.")
    database_pool: int = _setting(
        0, "PostgreSQL connections of each process; 0: the number of its web threads plus 2."
    )
    statement_seconds: int = _setting(
        60, "Time limit for a PostgreSQL statement and for an idle writing transaction, in seconds."
    )
    sign_ups_per_hour: int = _setting(
        200, "Sign-ups per hour from one address; from all addresses five times as many."
    )
    insecure_http: bool = _setting(
        False, "Serve other machines without TLS; only in a network that you trust."
    )
    trusted_hosts: str = _setting("", "Host names this server answers to, comma-separated; empty: any.")

    board_seconds: float = _setting(
        1.0, "Age limit of the cached board page for visitors, in seconds; 0: no cache."
    )

    log_format: str = _setting("text", "Log format: text, or json (one object per line).")
    metrics_token: str = _setting(
        "", "Bearer token that may read /metrics; empty: organisers only.", secret=True
    )
    disk_floor_mb: int = _setting(
        500, "Free disk space below which uploads are refused, for files and data, in MB; 0: no limit."
    )
    team_mb: int = _setting(10_000, "Total size of one team's files in one competition, in MB; 0: no limit.")

    draft_mb: int = _setting(
        1000, "Total size of the files of one draft of a competition, in MB; the smallest is 1."
    )

    public_url: str = _setting(
        "", "Address at which people open this server, https://HOST, for links in mail; empty: no mail."
    )
    mail_host: str = _setting("", "Mail server (SMTP) for outgoing mail; empty: no mail.")
    mail_port: int = _setting(587, "Port of the mail server.")
    mail_security: str = _setting("starttls", "Encryption to the mail server: starttls, tls or none.")
    mail_user: str = _setting("", "Name at the mail server; empty: no sign-in.")
    mail_password: str = _setting("", "Password at the mail server.", secret=True)
    mail_from: str = _setting("", "Sender of mail, such as Heldout <heldout@example.org>.")

    workers_per_competition: int = _setting(0, "Workers that one competition may occupy at once; 0: all.")

    vault_url: str = _setting(
        "", "Bucket for hidden solutions, s3://BUCKET/PREFIX, with copies in the vault's folder; empty: none."
    )
    vault_key: str = _setting(
        "",
        "Access key for the vault's bucket, for workers and publishers only; "
        "empty: from the AWS environment or the instance's role.",
        secret=True,
    )
    vault_secret: str = _setting("", "Secret of the vault's access key.", secret=True)
    vault_endpoint: str = _setting(
        "", "URL of the vault's S3-compatible storage; empty: HELDOUT_S3_ENDPOINT."
    )
    vault_region: str = _setting("", "Region of the vault's bucket; empty: HELDOUT_S3_REGION.")

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'heldout.db'}"

    @property
    def redis(self) -> str:
        return self.redis_url or f"unix://{self.redis_socket}"

    @property
    def redis_socket(self) -> Path:
        """Return the embedded Valkey's socket.

        The kernel allows at most 107 bytes for a socket's path, so a long one moves to the temporary folder.
        """
        path = self.run_dir / "valkey.sock"
        if len(os.fsencode(path)) <= 100:
            return path
        name = hashlib.sha256(os.fsencode(self.run_dir)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"heldout-{os.getuid()}-{name}" / "valkey.sock"

    @property
    def embedded_redis(self) -> bool:
        return not self.redis_url

    @property
    def team_bytes(self) -> int:
        """Return the room for a team's files in one competition; 0 for no limit."""
        return self.team_mb * 1_000_000

    @property
    def draft_bytes(self) -> int:
        """Return the room for the files of one draft."""
        return max(1, self.draft_mb) * 1_000_000

    @property
    def sends_mail(self) -> bool:
        return bool(self.mail_host)

    @property
    def uses_redis(self) -> bool:
        return self.redis_url != "none"

    @property
    def storage(self) -> Path:
        """Return the folder of uploads and public files, or of copies."""
        if self.storage_url.startswith("s3://"):
            return self.data_dir / "cache"
        return Path(self.storage_url.removeprefix("file://")) if self.storage_url else self.data_dir / "blobs"

    @property
    def vault(self) -> Path:
        """Return the folder of versions with their solutions, or of copies.

        The web process never opens it.
        """
        return Path(self.vault_dir) if self.vault_dir else self.data_dir / "vault"

    @property
    def run_dir(self) -> Path:
        """Return the folder of sockets and locks; mode 0700."""
        return self.data_dir.resolve() / "run"


CONFIG_VARIABLE, DATA_VARIABLE, FILE_NAME = "HELDOUT_CONFIG", "HELDOUT_DATA_DIR", "heldout.toml"
LEAD_OUT = (
    *("public_url", "mail_host"),
    *("database_url", "redis_url", "storage_url", "s3_endpoint", "vault_url", "vault_endpoint", "vault_dir"),
    *("host", "insecure_http", "allow_weak_sandbox", "secret_key", "metrics_token"),
)
"""Settings that send data elsewhere, let others in or weaken the sandbox."""
OTHERS = (CONFIG_VARIABLE, "HELDOUT_URL", "HELDOUT_TOKEN")
"""Variables that are no settings: the settings file, and the sign-in of a participant's client."""


def settings_file(env: Mapping[str, str]) -> Path:
    """Return the path of the settings file, whether or not it exists."""
    if named := _given(env, CONFIG_VARIABLE):
        return Path(named)
    return Path(_given(env, DATA_VARIABLE) or Settings.data_dir) / FILE_NAME


def _given(env: Mapping[str, str], variable: str) -> str:
    """Return a value of the environment; empty if it is unset or blank."""
    value = env.get(variable, "")
    return value if value.strip() else ""


def others_may_write(status: os.stat_result) -> bool:
    """Whether other users of the machine can change a file or folder.

    Many systems give each user a group of its own, whose right to write lets no other user in.
    """
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(status.st_gid)


def _is_own_group(gid: int) -> bool:
    """Whether only this process's user and root are in a group."""
    members = {user.pw_uid for user in pwd.getpwall() if user.pw_gid == gid}
    try:
        names = grp.getgrgid(gid).gr_mem
    except KeyError:
        names = []  # a number without a name, as volumes in containers have
    return members <= {0, os.getuid()} and all(_uid(name) in (0, os.getuid()) for name in names)


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def load(env: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """Read the settings; refuse with all problems at once.

    The environment comes before the settings file, and that before the defaults.
    """
    env = os.environ if env is None else env
    problems: list[Problem] = []
    if file is None:
        file = settings_file(env)
        if _given(env, CONFIG_VARIABLE) and not file.is_file():
            problems.append(Problem("BAD_SETTING", f"{CONFIG_VARIABLE}: there is no file {file}."))
    from_file = _read_toml(file, problems)
    folder = Path(from_file.get("data_dir") or file.parent)
    if not _given(env, CONFIG_VARIABLE) and not _given(env, DATA_VARIABLE):
        problems += _of_another_author(file, from_file)
    if not _given(env, CONFIG_VARIABLE) and folder.resolve() != file.parent.resolve():
        words = f"{file}: data_dir names another folder; set HELDOUT_DATA_DIR, or give the file as --config."
        problems.append(Problem("BAD_SETTING", words))
    known = {f.name: f for f in fields(Settings)}
    problems += [
        Problem("UNKNOWN_SETTING", f"{file}: there is no setting {key}.")
        for key in from_file.keys() - known.keys()
    ]
    problems += [
        Problem("UNKNOWN_SETTING", f"{name}: there is no such setting; `heldout config` lists all.")
        for name in env
        if name.startswith("HELDOUT_")
        and name not in OTHERS
        and name.removeprefix("HELDOUT_").lower() not in known
    ]
    values: dict[str, Any] = {}
    for name, spec in known.items():
        default = spec.default
        assert default is not MISSING
        variable = f"HELDOUT_{name.upper()}"
        is_text = default == ""
        raw = env.get(variable) if is_text else _given(env, variable) or None
        raw = from_file.get(name) if raw is None else raw
        if raw is None or (raw == "" and not is_text):
            continue
        try:
            values[name] = _convert(raw, type(default))
        except ValueError as wrong:
            problems.append(Problem("BAD_SETTING", f"{variable}: {wrong}"))
    if problems:
        raise Misconfigured("; ".join(p.message for p in problems), problems)
    settings = Settings(**values)
    _check(settings)
    return settings


def _read_toml(file: Path, problems: list[Problem]) -> dict[str, Any]:
    if not file.is_file():
        return {}
    status = file.stat()
    if status.st_uid not in (0, os.getuid()) or others_may_write(status):
        words = f"{file}: other users can change this file; `chown` it to yourself and `chmod go-w` it."
        problems.append(Problem("BAD_SETTING", words))
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        problems.append(Problem("BAD_SETTING", f"{file}: {wrong}"))
        return {}


def _of_another_author(file: Path, from_file: Mapping[str, Any]) -> Iterator[Problem]:
    """Report what the default data folder may not decide: it may have come with the current folder.

    An unpacked or cloned folder belongs to the user, so its owner shows nothing.
    """
    folder = file.parent.absolute()
    way_out = f"if it is yours, set HELDOUT_DATA_DIR={shlex.quote(str(folder))}"
    if folder.is_dir() and folder.stat().st_uid not in (0, os.getuid()):
        yield Problem("BAD_SETTING", f"the data folder {folder} belongs to another user; {way_out}.")
    if files := data_origin.foreign_files(folder):
        words = f"{' and '.join(str(folder / name) for name in files)} may have come with the current folder"
        yield Problem("BAD_SETTING", f"{words}; {way_out} once, and this machine remembers it.")
    if led := sorted(set(LEAD_OUT) & {name for name, value in from_file.items() if value}):
        words = f"{file.absolute()}: {', '.join(led)} may not be set by a data folder that is not named"
        yield Problem("BAD_SETTING", f"{words}; {way_out}, or give the file as --config.")


def _convert(raw: Any, kind: type) -> Any:
    if kind is bool:
        words = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        if str(raw).lower() not in words:
            raise ValueError(f"{raw!r} is not a truth value; use true or false")
        return words[str(raw).lower()]
    if kind in (int, float):
        try:
            return kind(raw)
        except (ValueError, TypeError):
            raise ValueError(f"{raw!r} is not a number") from None
    return kind(raw)


def _check(settings: Settings) -> None:
    problems: list[str] = []
    counts = (
        "web_processes",
        "web_threads",
        "workers",
        "max_upload_mb",
        "job_seconds",
        "lease_seconds",
        "session_days",
        "cache_mb",
        "statement_seconds",
        "sign_ups_per_hour",
    )
    problems += [f"HELDOUT_{n.upper()}: must be 1 or more" for n in counts if getattr(settings, n) < 1]
    for name in ("sweep_seconds", "hint_seconds", "job_memory_mb"):
        if getattr(settings, name) <= 0:
            problems.append(f"HELDOUT_{name.upper()}: must be more than 0")
    if settings.secret_key and len(settings.secret_key) < 32:
        problems.append("HELDOUT_SECRET_KEY: must have 32 characters or more; leave it empty to generate one")
    if settings.metrics_token and len(settings.metrics_token) < 16:
        problems.append("HELDOUT_METRICS_TOKEN: must have 16 characters or more")
    if not 0 <= settings.port <= 65535:
        problems.append(f"HELDOUT_PORT: {settings.port} is not a port (0 to 65535)")
    if settings.registration not in ("open", "closed"):
        problems.append(f"HELDOUT_REGISTRATION: {settings.registration!r} is neither open nor closed")
    if settings.log_level not in ("debug", "info", "warning", "error"):
        problems.append(f"HELDOUT_LOG_LEVEL: {settings.log_level!r} is none of debug, info, warning, error")
    if settings.log_format not in ("text", "json"):
        problems.append(f"HELDOUT_LOG_FORMAT: {settings.log_format!r} is neither text nor json")
    if settings.storage_url and not settings.storage_url.startswith(("file:///", "s3://")):
        problems.append(
            f"HELDOUT_STORAGE_URL: {settings.storage_url!r} starts neither with file:/// nor s3://"
        )
    if settings.storage_url.startswith("s3:") and not settings.storage_url.removeprefix("s3://").strip("/"):
        problems.append("HELDOUT_STORAGE_URL: names no bucket; expected s3://BUCKET/PREFIX")
    if bool(settings.s3_key) != bool(settings.s3_secret):
        problems.append("HELDOUT_S3_KEY and HELDOUT_S3_SECRET: set both or neither")
    problems += _vault_problems(settings)
    if settings.database_pool < 0:
        problems.append("HELDOUT_DATABASE_POOL: must be 0 or more")
    if settings.board_seconds < 0:
        problems.append("HELDOUT_BOARD_SECONDS: must be 0 or more")
    if settings.disk_floor_mb < 0:
        problems.append("HELDOUT_DISK_FLOOR_MB: must be 0 or more")
    if settings.team_mb < 0:
        problems.append("HELDOUT_TEAM_MB: must be 0 or more")
    if settings.workers_per_competition < 0:
        problems.append("HELDOUT_WORKERS_PER_COMPETITION: must be 0 or more")
    problems += mail_settings.problems(settings)
    if problems:
        raise Misconfigured("; ".join(problems), [Problem("BAD_SETTING", p) for p in problems])


def _vault_problems(settings: Settings) -> Iterator[str]:
    if not settings.vault_url:
        return
    bucket = settings.vault_url.removeprefix("s3://").strip("/")
    if not settings.vault_url.startswith("s3://") or not bucket:
        yield f"HELDOUT_VAULT_URL: {settings.vault_url!r} is not of the form s3://BUCKET/PREFIX"
    uploads = settings.storage_url.removeprefix("s3://").strip("/")
    if f"{bucket}/".startswith(f"{uploads}/") or f"{uploads}/".startswith(f"{bucket}/"):
        # `heldout storage gc` deletes files without a row, and the web process may read all of the storage.
        yield (
            "HELDOUT_VAULT_URL and HELDOUT_STORAGE_URL: one is inside the other; "
            "give the vault a bucket of its own"
        )
    if bool(settings.vault_key) != bool(settings.vault_secret):
        yield "HELDOUT_VAULT_KEY and HELDOUT_VAULT_SECRET: set both or neither"
    if settings.vault_key and settings.vault_key == settings.s3_key:
        yield (
            "HELDOUT_VAULT_KEY: is the key of the storage, which the web process also has; "
            "create one for workers only"
        )


RESTORING = "restoring"
"""The file in a data folder that is there while a backup is restored into it."""


def prepare_data_dir(settings: Settings, *, restores: bool = False) -> None:
    """Make the folders this installation writes to, or refuse.

    A folder that a killed restore left is refused, except to the restore that goes on with it: it would
    look like an installation without data.
    """
    if not restores and (settings.data_dir / RESTORING).exists():
        raise Misconfigured(
            f"A restore into {settings.data_dir} was not finished: repeat the same `heldout restore`, which "
            "goes on with it, or delete the folder."
        )
    # Password hashes, uploads and hidden labels: only the owner may read what this process writes.
    os.umask(0o077)
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        for folder in (settings.run_dir, settings.redis_socket.parent, settings.vault):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            data_origin.mark(settings.data_dir)  # before there is what makes an unmarked folder suspect
        settings.storage.mkdir(parents=True, exist_ok=True)
        # An unnamed file: processes that start together would delete each other's.
        tempfile.TemporaryFile(dir=settings.data_dir).close()
    except OSError as wrong:
        raise Misconfigured(
            f"The data folder {settings.data_dir} cannot be written: {wrong.strerror}. Set HELDOUT_DATA_DIR."
        ) from wrong


def secret_key(settings: Settings) -> str:
    """Return the setting, or a key generated on first use."""
    if settings.secret_key:
        return settings.secret_key
    file = settings.data_dir / "secret_key"
    try:
        # O_EXCL: if two processes start together, one makes the key and the other reads it.
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
            f.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    except OSError as wrong:
        raise Misconfigured(f"The secret key {file} cannot be written: {wrong.strerror}.") from wrong
    key = file.read_text().strip()
    if len(key) < 32:
        raise Misconfigured(f"The secret key in {file} is too short; delete the file to generate a new one.")
    return key
