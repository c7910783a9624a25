"""The tables of the database.

Rules that need only one row are methods here; rules that need a query are in the modules of the rooms.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.base.db import Base, UtcTime
from app.base.leases import Leased, WorkState

Base.metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite assigns ids only in columns declared INTEGER; PostgreSQL gets 64 bits.
Id = BigInteger().with_variant(Integer, "sqlite")


class Phase(StrEnum):
    UPCOMING = "upcoming"
    OPEN = "open"
    CLOSED = "closed"


class PublicScore(StrEnum):
    """The release rule of a competition; see app.competing.score_release."""

    EXACT = "exact"
    ROUNDED = "rounded"
    LADDER = "ladder"


class Visibility(StrEnum):
    """Which accounts see a competition; see app.competing.visibility."""

    PUBLIC = "public"
    UNLISTED = "unlisted"
    """The accounts that opened its private link or are on its list."""
    INVITED = "invited"
    """The accounts on its list."""
    HIDDEN = "hidden"
    """Its organisers alone."""


class State(StrEnum):
    """The states of an evaluation; only app.competing.evaluations moves it."""

    QUEUED = WorkState.QUEUED.value
    RUNNING = WorkState.RUNNING.value
    SCORED = "scored"
    REJECTED = "rejected"
    FAILED = WorkState.FAILED.value

    @property
    def is_final(self) -> bool:
        return self not in (State.QUEUED, State.RUNNING)


class InspectionState(StrEnum):
    """The states of an inspection; only app.integrity.inspections moves it."""

    QUEUED = WorkState.QUEUED.value
    RUNNING = WorkState.RUNNING.value
    DONE = "done"
    FAILED = WorkState.FAILED.value


class RoundState(StrEnum):
    DRAFT = "draft"
    REPEAT = "repeat"
    """Scores the draft's submissions again, to compare bit for bit."""
    ACTIVE = "active"
    RETIRED = "retired"


class User(Base):
    __tablename__ = "user_account"  # "user" is a reserved word in PostgreSQL

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    skeleton: Mapped[str | None] = mapped_column(String(200), index=True)
    """What the name is compared by; None until it is computed, see app.people.names."""
    password_hash: Mapped[str | None] = mapped_column(String(200))
    is_organiser: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class FormerName(Base):
    """A name that an account had before it was renamed; no other may take it."""

    __tablename__ = "former_name"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), index=True)
    name: Mapped[str] = mapped_column(String(40))
    skeleton: Mapped[str | None] = mapped_column(String(200), index=True)
    """As of an account."""
    until: Mapped[datetime] = mapped_column(UtcTime)


class SignIn(Base):
    """A signed-in browser; revoking the row signs it out."""

    __tablename__ = "sign_in"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    browser: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)


class Token(Base):
    """A bearer token for the API; only its hash is stored."""

    __tablename__ = "token"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), index=True)
    label: Mapped[str] = mapped_column(String(60))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    hint: Mapped[str] = mapped_column(String(12))
    scope: Mapped[str] = mapped_column(String(10), server_default="organise")
    """See app.people.tokens.Scope."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """None only for tokens that were made before tokens expired."""
    last_used_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """Noted at most once a minute."""
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Challenge(Base):
    __tablename__ = "challenge"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    slug: Mapped[str] = mapped_column(String(60), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class ChallengeVersion(Base):
    """An immutable version of a challenge, named by its digest.

    The folder itself is in the vault.
    """

    __tablename__ = "challenge_version"
    __table_args__ = (UniqueConstraint("challenge_id", "digest"), UniqueConstraint("challenge_id", "number"))

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    challenge_id: Mapped[int] = mapped_column(ForeignKey("challenge.id"))
    number: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    solution_digest: Mapped[str] = mapped_column(String(64))
    metric_digest: Mapped[str] = mapped_column(String(64))
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What the web process may know of the challenge; no labels."""
    audit: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """The result of the checks before publishing.

    Keys: findings (for organisers), passport (public), overrides (code -> the reason to publish in spite of
    the finding), versions.
    """
    benchmark: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """The benchmark's score and standard error, for organisers.

    Also the steps in which public scores are shown; see app.competing.score_release.
    """
    created_at: Mapped[datetime] = mapped_column(UtcTime)

    challenge: Mapped[Challenge] = relationship(lazy="joined", innerjoin=True)


class Competition(Base):
    __tablename__ = "competition"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    slug: Mapped[str] = mapped_column(String(60), unique=True)
    title: Mapped[str] = mapped_column(String(120))
    own_summary: Mapped[str | None] = mapped_column(String(300))
    """Shown instead of the challenge's; None: the challenge's."""
    version_id: Mapped[int] = mapped_column(ForeignKey("challenge_version.id"))
    """The active round's version, copied here to save a join."""
    opens_at: Mapped[datetime] = mapped_column(UtcTime)
    closes_at: Mapped[datetime | None] = mapped_column(UtcTime)
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    daily_limit: Mapped[int]
    pending_limit: Mapped[int]
    rejected_limit: Mapped[int]
    final_picks: Mapped[int]
    max_team_size: Mapped[int]
    entry_closes_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """Until when participants may join; None: until the close."""
    teams_close_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """Until when members of teams may change and teams may merge; None: until the close."""
    max_upload_bytes: Mapped[int] = mapped_column(BigInteger)
    total_limit: Mapped[int | None]
    """Charged uploads of a team in all; None: no limit."""
    public_score: Mapped[str] = mapped_column(
        String(10), default=PublicScore.EXACT, server_default=PublicScore.EXACT.value
    )
    greater_is_better: Mapped[bool]
    marks_agents: Mapped[bool] = mapped_column(default=False, server_default=false())
    """The board marks rows whose file an agent has sent."""
    allows_late: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Files are accepted once private scores are shown; see app.competing.late."""
    visibility: Mapped[str] = mapped_column(
        String(10), default=Visibility.PUBLIC, server_default=Visibility.PUBLIC.value
    )
    """A Visibility."""
    is_paused: Mapped[bool] = mapped_column(default=False)
    is_archived: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Listed as past; takes nothing from participants until it is brought back."""
    board_frozen_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """From when to the final results the board shows only earlier files; None: never."""
    grace_seconds: Mapped[int] = mapped_column(default=120)
    """Time after the close to complete an upload.

    Private scores are hidden until it is over.
    """
    extended_until: Mapped[datetime | None] = mapped_column(UtcTime)
    """The latest close of all extensions."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)

    version: Mapped[ChallengeVersion] = relationship(lazy="joined", innerjoin=True)

    @property
    def summary(self) -> str:
        """Return its own summary or the challenge's, in one sentence; "" if there is none."""
        return self.own_summary or self.version.manifest.get("summary") or ""

    @property
    def upload_limit_bytes(self) -> int:
        """Return the size above which a file is refused, on arrival or by the scorer.

        The scorer's limit is that of the unpacked file, which no packed file may exceed either.
        """
        return self._limited_by("submission")

    @property
    def train_file_limit_bytes(self) -> int:
        """Return the same for train files."""
        return self._limited_by("folds")

    def _limited_by(self, part: str) -> int:
        unpacked = (self.version.manifest.get(part) or {}).get("max_bytes")
        return min(self.max_upload_bytes, unpacked or self.max_upload_bytes)

    def phase(self, now: datetime) -> Phase:
        if now < self.opens_at:
            return Phase.UPCOMING
        return Phase.CLOSED if self.closes_at is not None and now >= self.closes_at else Phase.OPEN

    @property
    def is_extended(self) -> bool:
        """Return whether a team has a later close than the others."""
        return self.closes_at is not None and (self.extended_until or self.closes_at) > self.closes_at

    @property
    def settles_at(self) -> datetime | None:
        """Return when uploads are over and private scores may be shown.

        Before that a client could read them and then choose the last bytes of its upload. The same holds for
        a team with an extension.
        """
        if self.closes_at is None:
            return None
        last = max(self.closes_at, self.extended_until or self.closes_at)
        return last + timedelta(seconds=self.grace_seconds)

    def is_settled(self, now: datetime) -> bool:
        return (at := self.settles_at) is not None and now >= at

    def takes_late(self, now: datetime) -> bool:
        return self.allows_late and not self.is_archived and self.is_settled(now)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def day(self, time: datetime) -> date:
        """Return the calendar day in the competition's time zone."""
        return time.astimezone(self.zone).date()


class Round(Base):
    """All evaluations of a competition under one version.

    One round is active; a rescore prepares a draft beside it, which replaces it in one statement.
    """

    __tablename__ = "round"
    __table_args__ = (
        Index(
            "ix_round_one_active",
            "competition_id",
            unique=True,
            sqlite_where=text("state = 'active'"),
            postgresql_where=text("state = 'active'"),
        ),
        Index(
            "ix_round_one_draft",
            "competition_id",
            unique=True,
            sqlite_where=text("state = 'draft'"),
            postgresql_where=text("state = 'draft'"),
        ),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    competition_id: Mapped[int] = mapped_column(ForeignKey("competition.id"), index=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("challenge_version.id"))
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(String(200), default="")
    repeat_of: Mapped[int | None] = mapped_column(Id)
    """The draft that a repeat is compared with."""
    applies_itself: Mapped[bool] = mapped_column(default=False, server_default=false())
    """The finished draft is applied without an organiser's confirmation."""
    served_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When a worker last claimed one of its evaluations."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class Team(Base):
    """A team; a lone participant is a team of one.

    A baseline is a team without members.
    """

    __tablename__ = "team"
    __table_args__ = (UniqueConstraint("competition_id", "name"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    competition_id: Mapped[int] = mapped_column(ForeignKey("competition.id"))
    name: Mapped[str] = mapped_column(String(60))
    skeleton: Mapped[str | None] = mapped_column(String(200), index=True)
    """What the name is compared by, without case; None until it is computed, see app.people.names."""
    look: Mapped[str | None] = mapped_column(String(200), index=True)
    """The same of the name as it is displayed."""
    is_baseline: Mapped[bool] = mapped_column(default=False)
    is_host: Mapped[bool] = mapped_column(default=False, server_default=false())
    """A team of organisers that is not on the board, with files from before these were unranked."""
    has_coarse_feedback: Mapped[bool] = mapped_column(default=False, server_default=false())
    """An organiser coarsened its public scores; the team sees no reason."""
    disqualified_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """Not on the board while set; the team sees the reason."""
    disqualified_why: Mapped[str | None] = mapped_column(String(500))
    unranked_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """Not on the board while set, though it takes part; the team sees the reason."""
    unranked_why: Mapped[str | None] = mapped_column(String(500))
    captain_id: Mapped[int | None] = mapped_column(Id)
    """The captain's account; None: the member that joined first. Of a member that left: the same."""
    method: Mapped[str | None] = mapped_column(String(500))
    """What the team says of its method; the board shows it after the close."""
    method_link: Mapped[str | None] = mapped_column(String(300))
    """To code or a paper."""
    method_removed_why: Mapped[str | None] = mapped_column(String(500))
    """Why an organiser removed both; the team reads it until it describes its method again."""
    merged_into_id: Mapped[int | None] = mapped_column(Id, index=True)
    """The team that took its members and files; a merged team has none."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)

    @property
    def is_off_the_board(self) -> bool:
        """Return whether no file of the team is ranked, for one reason or another."""
        return self.disqualified_at is not None or self.unranked_at is not None or self.is_host


class Membership(Base):
    """A user's team in a competition; the key allows one."""

    __tablename__ = "membership"

    competition_id: Mapped[int] = mapped_column(ForeignKey("competition.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), primary_key=True, index=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    joined_at: Mapped[datetime] = mapped_column(UtcTime)


class Quota(Base):
    """Uploads a team has used on a day.

    The CHECK holds even if the code is wrong.
    """

    __tablename__ = "quota"
    __table_args__ = (CheckConstraint("used >= 0 AND used <= lim", name="within"),)

    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    used: Mapped[int] = mapped_column(default=0)
    lim: Mapped[int]


class Extension(Base):
    """What an organiser grants one team beyond the limits, and why."""

    __tablename__ = "extension"
    __table_args__ = (Index("ix_extension_team", "team_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    competition_id: Mapped[int] = mapped_column(ForeignKey("competition.id"), index=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    closes_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """A later close for this team; None: the competition's."""
    daily_extra: Mapped[int] = mapped_column(default=0)
    """Additional uploads per day."""
    total_extra: Mapped[int] = mapped_column(default=0)
    """Additional uploads over the whole run."""
    reason: Mapped[str] = mapped_column(String(500))
    granted_by: Mapped[str] = mapped_column(String(60))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)


class Submission(Base):
    """One uploaded file of a team; immutable except `is_charged`, its end and the team of a merge."""

    __tablename__ = "submission"
    __table_args__ = (
        UniqueConstraint("user_id", "idempotency_key"),
        Index("ix_submission_team", "team_id", "id"),
        Index("ix_submission_competition", "competition_id", "id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    competition_id: Mapped[int] = mapped_column(ForeignKey("competition.id"))
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id"))
    received_at: Mapped[datetime] = mapped_column(UtcTime)
    day: Mapped[date] = mapped_column(Date)
    filename: Mapped[str] = mapped_column(String(200))
    message: Mapped[str] = mapped_column(String(500), default="")
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    idempotency_key: Mapped[str | None] = mapped_column(String(120))
    is_charged: Mapped[bool]
    """Counts against the day's quota.

    Cleared once, when the file is rejected or its evaluation fails.
    """
    is_ranked: Mapped[bool] = mapped_column(default=True, server_default=true())
    """False for a host submission, see app.competing.hosts, and for a late one."""
    is_late: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Sent by a participant after the end; see app.competing.late."""
    is_by_agent: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Sent through the MCP endpoint."""
    cancelled_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When the team cancelled it before it was scored."""
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When the team withdrew it after it was scored; it then counts for no board."""
    excluded_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """While set, an organiser has taken it off the board; the team sees the reason."""
    excluded_why: Mapped[str | None] = mapped_column(String(500))
    first_team_id: Mapped[int | None] = mapped_column(Id)
    """The team that sent it, if that has merged into another; receipts and the audit log name this one."""

    @property
    def sent_by_team_id(self) -> int:
        """Return the team that sent the file, also after a merge."""
        return self.first_team_id if self.first_team_id is not None else self.team_id


class UploadTicket(Base):
    """Permission to send one file first and submit it afterwards; only a hash of its secret is stored."""

    __tablename__ = "upload_ticket"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), index=True)
    competition_id: Mapped[int] = mapped_column(ForeignKey("competition.id"))
    filename: Mapped[str] = mapped_column(String(200))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    """The announced size, which the file must have."""
    sha256: Mapped[str | None] = mapped_column(String(64))
    """None until the file has arrived."""
    received_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When the file began to arrive; from then on the address takes no other."""
    submitted_at: Mapped[datetime | None] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)


class Evaluation(Leased, Base):
    """A submission under one round: the outbox row, the lease and the outcome."""

    __tablename__ = "evaluation"
    __table_args__ = (
        # Not partial: SQLite would not use it for a state that is a bound value.
        Index("ix_evaluation_due", "state", "next_try_at"),
        Index("ix_evaluation_round_due", "round_id", "state", "next_try_at", "submission_id"),
    )

    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"), primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), primary_key=True)
    started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    problems: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)
    """Why it was rejected: at most 20 scorer.Problem.as_dict."""
    problem_count: Mapped[int] = mapped_column(default=0)


class Score(Base):
    """The scores of one evaluation; the key allows one set."""

    __tablename__ = "score"

    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"), primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), primary_key=True)
    public: Mapped[float]
    """Exact: for organisers, and after the close for the team."""
    private: Mapped[float]
    also: Mapped[dict[str, dict[str, float]]] = mapped_column(JSON)
    shown: Mapped[float]
    """The shown score, which the board ranks by."""
    shown_also: Mapped[dict[str, float]] = mapped_column(JSON)
    notices: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    provenance: Mapped[dict[str, Any]] = mapped_column(JSON)


class Rung(Base):
    """A team's last shown score on the ladder, and its submission."""

    __tablename__ = "rung"

    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), primary_key=True)
    shown: Mapped[float]
    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"))


class FinalPick(Base):
    __tablename__ = "final_pick"

    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), primary_key=True)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"), primary_key=True)
    picked_at: Mapped[datetime] = mapped_column(UtcTime)


class Standing(Base):
    """A team's row on the board.

    It is rewritten in the transaction that changes the team's scores. Keys sort ascending for every metric
    (score, or minus score), so a page of the board is an index range however many submissions there are.
    """

    __tablename__ = "standing"
    __table_args__ = (
        Index("ix_standing_public", "competition_id", "public_key", "public_at", "team_id"),
        Index("ix_standing_private", "competition_id", "private_key", "private_at", "team_id"),
        Index("ix_standing_entries", "competition_id", "entries"),
        Index("ix_standing_last", "competition_id", "last_at"),
    )

    competition_id: Mapped[int] = mapped_column(ForeignKey("competition.id"), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), primary_key=True)
    is_baseline: Mapped[bool]
    entries: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(UtcTime)
    public_key: Mapped[float]
    public_at: Mapped[datetime] = mapped_column(UtcTime)
    public_submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"))
    public_also: Mapped[dict[str, float]] = mapped_column(JSON)
    private_key: Mapped[float]
    private_at: Mapped[datetime] = mapped_column(UtcTime)
    private_submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"))
    private_also: Mapped[dict[str, float]] = mapped_column(JSON)


class TrainFile(Base):
    """A team's predictions for the training rows, beside a submission.

    Their labels are public, so the result may be shown in full.
    """

    __tablename__ = "train_file"

    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    """oof (out of fold) or train (in sample)."""
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[datetime] = mapped_column(UtcTime)
    state: Mapped[str] = mapped_column(String(10))
    """queued, scored, rejected or failed, as an evaluation's."""
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """value, se, n, folds and the data of the plots; see scorer.overfitting.diagnosis."""
    problems: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)


class Inspection(Leased, Base):
    """Long work about a competition, done under a lease.

    A scan for cases, a close report, the scoring of a team's train files, or the check of a file.
    """

    __tablename__ = "inspection"
    __table_args__ = (
        Index("ix_inspection_due", "state", "next_try_at"),
        Index("ix_inspection_competition", "competition_id", "kind", "id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    competition_id: Mapped[int] = mapped_column(ForeignKey("competition.id"))
    round_id: Mapped[int] = mapped_column(ForeignKey("round.id"))
    kind: Mapped[str] = mapped_column(String(12))
    submission_id: Mapped[int | None] = mapped_column(ForeignKey("submission.id"))
    """The submission that the train files belong to."""
    progress: Mapped[float] = mapped_column(default=0.0)
    """0 to 1."""
    doing: Mapped[str] = mapped_column(String(100), default="")
    asked_by: Mapped[str] = mapped_column(String(60))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Of a close report {"public": ..., "organiser": ...}; of a scan its coverage."""


class FileCheck(Base):
    """A file that is checked and not submitted; the result of its inspection holds the answer."""

    __tablename__ = "file_check"
    __table_args__ = (Index("ix_file_check_team", "team_id", "day"),)

    inspection_id: Mapped[int] = mapped_column(ForeignKey("inspection.id"), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"))
    received_at: Mapped[datetime] = mapped_column(UtcTime)
    day: Mapped[date] = mapped_column(Date)
    filename: Mapped[str] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64))
    """The file is kept for a day at least, until a clean-up removes it."""
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    is_rejected: Mapped[bool | None]
    """None until it is checked. Rejected ones count as rejected submissions of the day."""
    seconds: Mapped[float | None]
    """How long the check took."""


class Case(Base):
    """A suspicion about teams that an organiser decides."""

    __tablename__ = "integrity_case"  # "case" is a reserved word
    __table_args__ = (
        UniqueConstraint("competition_id", "code", "team_id", "other_key"),
        Index("ix_integrity_case_open", "competition_id", "state"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    competition_id: Mapped[int] = mapped_column(ForeignKey("competition.id"))
    code: Mapped[str] = mapped_column(String(40))
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    other_team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"))
    other_key: Mapped[int] = mapped_column(BigInteger, default=0)
    """other_team_id or 0: in a unique key NULLs are not equal."""
    state: Mapped[str] = mapped_column(String(10))
    """open, dismissed or acted."""
    strength: Mapped[float]
    evidence: Mapped[str] = mapped_column(Text)
    advice: Mapped[str] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
    first_seen_at: Mapped[datetime] = mapped_column(UtcTime)
    last_seen_at: Mapped[datetime] = mapped_column(UtcTime)


class Event(Base):
    """An action of a person or a process; append-only.

    The sweeper chains events: each hash covers the one before, which reveals a changed, removed or inserted
    event. A trigger refuses to change or delete any.
    """

    __tablename__ = "event"
    __table_args__ = (Index("uq_event_seq", "seq", unique=True),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    seq: Mapped[int | None] = mapped_column(BigInteger)
    """1, 2, 3 ... without gaps; None until chained."""
    hash: Mapped[str | None] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcTime)
    actor: Mapped[str] = mapped_column(String(60))
    action: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str] = mapped_column(String(120), index=True)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)


class SignInAttempt(Base):
    """A sign-up, or an unsuccessful attempt to sign in.

    All web processes count them before they compute a costly password hash.
    """

    __tablename__ = "sign_in_try"
    __table_args__ = (Index("ix_sign_in_try_key", "key", "at"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    key: Mapped[str] = mapped_column(String(100))
    """The counted subject: an account, an address, or all; see app.people.rate_limits."""
    at: Mapped[datetime] = mapped_column(UtcTime)


class Heartbeat(Base):
    """A live worker or sweeper.

    Pages read this and not Redis, whose registry loses live workers.
    """

    __tablename__ = "heartbeat"

    name: Mapped[str] = mapped_column(String(120), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    seen_at: Mapped[datetime] = mapped_column(UtcTime)
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Of a worker {"isolation": how well its machine isolates an own metric}."""
