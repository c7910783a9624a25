"""What a participant does: list, join, download, check, submit, read results and pick."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Callable
from urllib.parse import quote

from heldout_client.checking import Schema, Verdict, check, one_form
from heldout_client.connection import LONG_PAUSES, Connection
from heldout_client.content import Content
from heldout_client.errors import BadFile, ClientError, NotAllowed, NotReachable, Refusal, words_of
from heldout_client.kept import Kept
from heldout_client.logins import Login
from heldout_client.problems import ID_JOINT, SPACES, Problem, Unreadable
from heldout_client.progress import Bar
from heldout_client.table import Table

SAMPLE = "sample_submission.csv"
_MOST_BYTES = 500_000_000
_SAMPLE_CELLS = 20
_POLL_SECONDS = (0.2, 0.3, 0.5, 1.0, 2.0)
_FINAL = ("scored", "rejected", "failed")

Watch = Callable[["Submitted"], None]


@dataclass(frozen=True, repr=False)
class Submitted:
    """One submission: its receipt, and as far as known its result."""

    id: int
    competition: str
    filename: str
    state: str
    place_in_queue: int | None = None
    score: float | None = None
    metric: str = ""
    rank: int | None = None
    rank_before: int | None = None
    remaining_today: int | None = None
    is_replay: bool = False
    is_ranked: bool = True
    is_late: bool = False
    page: str = ""
    receipt: str = ""
    problems: Sequence[Mapping[str, Any]] = ()
    notices: Sequence[Mapping[str, Any]] = ()
    warnings: Sequence[Mapping[str, Any]] = ()

    @property
    def is_final(self) -> bool:
        return self.state in _FINAL

    @property
    def rank_words(self) -> str:
        """Return the rank and its change, as in 'rank 3, up 2'."""
        if self.rank is None:
            return ""
        if self.rank_before is None:
            return f"rank {self.rank}, new on the board"
        change = self.rank_before - self.rank
        if change == 0:
            return f"rank {self.rank}, unchanged"
        return f"rank {self.rank}, {'up' if change > 0 else 'down'} {abs(change)}"

    def words(self) -> str:
        """Return one line about the state."""
        if self.state == "scored":
            score = "no shown score" if self.score is None else f"{self.metric} {self.score:.6g}".strip()
            return ", ".join(filter(None, [f"submission {self.id} scored: {score}", self.rank_words]))
        if self.state == "queued" and self.place_in_queue is not None:
            return f"submission {self.id} queued, place {self.place_in_queue}"
        if self.state == "failed":
            return f"submission {self.id} failed, which is the server's fault; it is not counted"
        return f"submission {self.id} {self.state}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __repr__(self) -> str:
        """Return what a shell without cards shows."""
        found = (*self.problems, *(self.notices or self.warnings))
        return "\n".join([f"{self.words()}  {self.page}".rstrip(), *map(words_of, found)])

    def _repr_html_(self) -> str:
        from heldout_client.cards import submission_card

        return submission_card(self)


class Participant:
    """One account at one installation."""

    def __init__(
        self,
        login: Login,
        env: Mapping[str, str],
        *,
        shows_progress: bool = True,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.login = login
        self._env = env
        self._shows = shows_progress
        self._say = say
        self._connection = Connection(login, say=say)
        self._patient = Connection(login, say=say, pauses=LONG_PAUSES)

    def me(self) -> dict[str, Any]:
        account: dict[str, Any] = self._connection.get("/me")
        return account

    def data(self) -> dict[str, Any]:
        """Return what the server keeps of the account."""
        found: dict[str, Any] = self._connection.get("/me/data")
        return found

    def competitions(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self._connection.get("/competitions")["competitions"]
        return listed

    def join(self, slug: str, *, accept_rules: int | None = None) -> str:
        rules = "" if accept_rules is None else f"?accept_rules={accept_rules}"
        return str(self._connection.post(f"/competitions/{quote(slug, safe='')}/join{rules}")["team"])

    def rules(self, slug: str) -> dict[str, Any]:
        found: dict[str, Any] = self._connection.get(f"/competitions/{quote(slug, safe='')}/rules")
        return found

    def accept_rules(self, slug: str, version: int) -> dict[str, Any]:
        """Accept the newest rules of a competition, by their version."""
        path = f"/competitions/{quote(slug, safe='')}/rules"
        found: dict[str, Any] = self._connection.post(path, {"version": version})
        return found

    def announcements(self, slug: str | None) -> dict[str, Any]:
        """Return the announcements of a competition, newest first; without one those of the server."""
        found: dict[str, Any] = self._connection.get(f"{_place(slug)}/announcements")
        return found

    def read_announcements(self, slug: str | None) -> None:
        """Mark the announcements of a competition as read; without one those of the server."""
        self._connection.post(f"{_place(slug)}/announcements/read")

    def questions(self, slug: str) -> dict[str, Any]:
        """Return the questions of a competition that the account may see."""
        found: dict[str, Any] = self._connection.get(f"{_place(slug)}/questions")
        return found

    def read_answers(self, slug: str) -> None:
        """Mark the answers to own questions as read."""
        self._connection.post(f"{_place(slug)}/questions/read")

    def ask(self, slug: str, title: str, text: str, *, is_public: bool) -> dict[str, Any]:
        """Ask all, or the organisers alone; return the questions that the account may see."""
        question = {"title": title, "text": text, "is_public": is_public}
        found: dict[str, Any] = self._connection.post(f"{_place(slug)}/questions", question)
        return found

    def files(self, slug: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self._connection.get(f"/competitions/{quote(slug, safe='')}/files")[
            "files"
        ]
        return listed

    def download(self, slug: str, names: Sequence[str], target: Path) -> list[dict[str, Any]]:
        """Download files of a competition, all of them without names; keep those that are right already."""
        listed = {file["name"]: file for file in self.files(slug)}
        if unknown := [name for name in names if name not in listed]:
            raise ClientError(
                f"{slug} has no file {', '.join(unknown)}; it has {', '.join(listed) or 'no files'}."
            )
        done = []
        for name in names or listed:
            file, parts = listed[name], PurePosixPath(name).parts
            if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name:
                raise Refusal(f"The server names a file {name!r}, which would be written elsewhere.")
            path = target.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            is_new = self._patient.download(
                f"/competitions/{quote(slug, safe='')}/files/{quote(name)}",
                path,
                size=file["size"],
                sha256=file["sha256"],
                bar=Bar(name, file["size"], shown=self._shows),
            )
            done.append({"name": name, "path": str(path), "size": file["size"], "downloaded": is_new})
        return done

    # --- checking -----------------------------------------------------------------------------------

    def schema(self, slug: str, kept: Kept) -> Schema:
        """Return the form of a submission; without a connection the one that was fetched last."""
        quick = Connection(self.login, pauses=())
        path = f"/competitions/{quote(slug, safe='')}/schema"
        try:
            document = quick.get(path)
            if document != kept.document:
                self._fetch_schema(slug, document, kept)
        except NotReachable:
            if kept.document is None:
                raise
            self._say("The server cannot be reached; checking with the schema that was fetched last.")
        schema = kept.schema()
        assert schema is not None
        return schema

    def check(self, content: Content, slug: str) -> Verdict:
        """Return what the server would say of a file, and whether the same bytes were sent before."""
        kept = self._kept(slug)
        verdict = check(content, self.schema(slug, kept))
        if verdict.ok and (earlier := kept.earlier(content.sha256)):
            words = f"These bytes were sent before, as submission {earlier}."
            same = Problem("SAME_FILE", words)
            verdict = replace(verdict, warnings=(*verdict.warnings, same))
        return verdict

    def _kept(self, slug: str) -> Kept:
        return Kept(self._env, self.login.address, slug)

    def _fetch_schema(self, slug: str, document: Mapping[str, Any], kept: Kept) -> None:
        """Keep a schema with the ids that it does not list and the cells of the sample."""
        wanted = document.get("ids")
        if wanted is None:
            kept.keep_schema(document, ids=None, sample={})
            return
        names = {file["name"]: file for file in self.files(slug)}
        ids: list[str] | None = None
        sample: dict[str, list[str]] = {}
        for name in dict.fromkeys((SAMPLE, wanted.get("file"))):
            is_needed = name == SAMPLE or wanted.get("values") is None
            if name not in names or not is_needed or names[name]["size"] > _MOST_BYTES:
                continue
            columns = [column["name"] for column in document["columns"] or ()] if name == SAMPLE else []
            found, cells = cells_of(self._public(slug, names[name]), wanted["columns"], columns)
            sample = cells or sample
            if name == wanted.get("file") and wanted.get("values") is None:
                ids = found
        kept.keep_schema(document, ids=ids, sample=sample)

    def _public(self, slug: str, file: Mapping[str, Any]) -> Content:
        path = f"/competitions/{quote(slug, safe='')}/files/{quote(file['name'])}"
        return Content(file["name"], data=self._connection.get_bytes(path))

    # --- submissions --------------------------------------------------------------------------------

    def submit(
        self,
        content: Content,
        slug: str,
        *,
        message: str = "",
        checks: bool = True,
        sandbox: bool = False,
        wait_seconds: float | None = None,
        warn: Callable[[Verdict], None] = lambda _: None,
        watch: Watch = lambda _: None,
    ) -> Submitted:
        """Check and send a file; with `wait_seconds` wait for its result.

        Raises BadFile where the check finds problems; nothing is sent then.
        """
        competition = self._connection.get(f"/competitions/{quote(slug, safe='')}")
        if competition.get("team") is None:
            raise NotAllowed(f"Join {competition['title']} first: heldout join {slug}")
        verdict = self.check(content, slug) if checks else Verdict(())
        if not verdict.ok:
            problems = [problem.as_dict() for problem in verdict.problems]
            raise BadFile(f"{content.name} would be refused; nothing was sent.", problems)
        warn(verdict)
        before = self._rank(slug)
        receipt = self._send(content, slug, message, sandbox=sandbox)
        sent = Submitted(
            id=receipt["id"],
            competition=slug,
            filename=content.name,
            state=receipt["state"],
            metric=str(competition.get("metric_name") or ""),
            rank_before=before,
            remaining_today=receipt.get("remaining_today"),
            is_replay=bool(receipt.get("is_replay")),
            is_ranked=bool(receipt.get("is_ranked", True)),
            is_late=bool(receipt.get("is_late")),
            page=self.login.address + receipt["links"]["page"],
            receipt=str(receipt.get("receipt") or ""),
            warnings=[warning.as_dict() for warning in verdict.warnings],
        )
        sent = self.now(sent)
        watch(sent)
        return sent if wait_seconds is None else self.wait(sent, wait_seconds, watch=watch)

    def now(self, sent: Submitted) -> Submitted:
        """Return a submission with its present state."""
        status = self._patient.get(f"/submissions/{sent.id}")
        known = replace(
            sent,
            state=status["state"],
            place_in_queue=status.get("place_in_queue"),
            score=status.get("public"),
            problems=status.get("problems") or (),
            notices=status.get("notices") or (),
        )
        return replace(known, rank=self._rank(sent.competition)) if known.state == "scored" else known

    def wait(self, sent: Submitted, seconds: float, *, watch: Watch = lambda _: None) -> Submitted:
        """Wait for the result of a submission."""
        deadline = time.monotonic() + seconds
        pauses = iter(_POLL_SECONDS)
        pause = 0.0
        while not sent.is_final:
            if time.monotonic() > deadline:
                raise NotReachable(
                    f"Submission {sent.id} has no result after {seconds:g} s; it is {sent.state}. "
                    f"See {sent.page}"
                )
            pause = next(pauses, pause)
            time.sleep(pause)
            sent = self.now(sent)
            watch(sent)
        return sent

    def submissions(self, slug: str, limit: int) -> list[dict[str, Any]]:
        """Return the team's submissions, newest first."""
        path = f"/competitions/{quote(slug, safe='')}/submissions"
        listed: list[dict[str, Any]] = []
        before: int | None = None
        while len(listed) < limit:
            page = self._connection.get(path, limit=min(200, limit - len(listed)), before=before)
            if not page["submissions"]:
                break
            listed += page["submissions"]
            before = listed[-1]["id"]
        return listed

    def leaderboard(self, slug: str, top: int) -> dict[str, Any]:
        board: dict[str, Any] = self._connection.get(
            f"/competitions/{quote(slug, safe='')}/leaderboard", page_size=max(1, min(200, top))
        )
        return board

    def pick(self, submission_id: int, *, is_picked: bool) -> None:
        """Choose a submission as a final one, or take that back."""
        self._connection.post(f"/submissions/{submission_id}/pick", {"picked": is_picked})

    def cancel(self, submission_id: int) -> dict[str, Any]:
        """Cancel a submission that waits; return it, also if it was cancelled before."""
        path = f"/submissions/{submission_id}"
        try:
            found: dict[str, Any] = self._connection.post(f"{path}/cancel")
        except Refusal:  # perhaps of a repetition, whose first answer did not arrive
            found = self._connection.get(path)
            if all(problem["code"] != "CANCELLED" for problem in found["problems"]):
                raise
        return found

    def withdraw(self, submission_id: int) -> dict[str, Any]:
        """Withdraw a scored submission from the board; its upload stays used."""
        found: dict[str, Any] = self._connection.post(f"/submissions/{submission_id}/withdraw")
        return found

    def team(self, slug: str) -> dict[str, Any]:
        found: dict[str, Any] = self._connection.get(f"/competitions/{quote(slug, safe='')}/team")
        return found

    def rename_team(self, slug: str, name: str) -> dict[str, Any]:
        return self._team(slug, "", {"name": name})

    def describe_method(self, slug: str, text: str, link: str) -> dict[str, Any]:
        """Say what the board shows of the team's method after the close."""
        return self._team(slug, "/method", {"text": text, "link": link})

    def leave_team(self, slug: str) -> dict[str, Any]:
        """Leave a team without submissions; return the new team of one."""
        return self._team(slug, "/leave")

    def remove_member(self, slug: str, member: str) -> dict[str, Any]:
        return self._team(slug, "/remove", {"member": member})

    def hand_over_team(self, slug: str, member: str) -> dict[str, Any]:
        return self._team(slug, "/captain", {"member": member})

    def invite(self, slug: str, *, uses: int, days: int) -> dict[str, Any]:
        """Make an invite link to the own team; the server shows it only here."""
        return self._team(slug, "/invites", {"uses": uses, "days": days})

    def revoke_invite(self, slug: str, invite_id: int) -> dict[str, Any]:
        path = f"/competitions/{quote(slug, safe='')}/team/invites/{invite_id}"
        found: dict[str, Any] = self._connection.delete(path)
        return found

    def enter(self, link: str) -> dict[str, Any]:
        """Enter a competition that is not listed by its private link."""
        slug, _, secret = link.strip().rstrip("/").partition("/competitions/")[2].partition("/enter/")
        if not slug or not secret:
            raise ClientError("A private link has the form ADDRESS/competitions/NAME/enter/SECRET.")
        found: dict[str, Any] = self._connection.post(
            f"/competitions/{quote(slug, safe='')}/enter", {"link": secret}
        )
        return found

    def join_team(self, slug: str, link: str) -> dict[str, Any]:
        """Join the team of an invite link."""
        return self._team(slug, "/join", {"link": link})

    def offer_merge(self, slug: str, team: str) -> dict[str, Any]:
        """Offer another team to merge into the own one."""
        return self._team(slug, "/offers", {"team": team})

    def accept_merge(self, slug: str, offer_id: int) -> dict[str, Any]:
        """Merge the own team into the one that offered it; return the merged team."""
        return self._team(slug, f"/offers/{offer_id}/accept")

    def end_offer(self, slug: str, offer_id: int) -> dict[str, Any]:
        """Decline an offer to merge, or withdraw an own one."""
        path = f"/competitions/{quote(slug, safe='')}/team/offers/{offer_id}"
        found: dict[str, Any] = self._connection.delete(path)
        return found

    def _team(self, slug: str, step: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        path = f"/competitions/{quote(slug, safe='')}/team{step}"
        found: dict[str, Any] = self._connection.post(path, body)
        return found

    def _rank(self, slug: str) -> int | None:
        mine = self.leaderboard(slug, 1).get("mine")
        return mine.get("rank") if mine else None

    def _send(self, content: Content, slug: str, message: str, *, sandbox: bool) -> dict[str, Any]:
        kept = self._kept(slug)
        key = kept.key_for(content.sha256, message)
        bar = Bar(content.name, content.size, shown=self._shows)
        try:
            receipt = self._patient.submit(slug, content, message=message, key=key, bar=bar, sandbox=sandbox)
        except Refusal:
            bar.clear()
            kept.forget(key)
            raise
        kept.note_receipt(key, receipt["id"])
        return receipt


def cells_of(
    content: Content, id_columns: Sequence[str], columns: Sequence[str]
) -> tuple[list[str] | None, dict[str, list[str]]]:
    """Return the ids of a public table, and a few different cells of each column.

    No ids if the table cannot be read or has none.
    """
    ids: dict[str, None] = {}
    cells: dict[str, dict[str, None]] = {}
    try:
        records = Table(content, max_bytes=_MOST_BYTES).records()
        header = [one_form(name).strip(SPACES) for name in next(records)[1]]
        if not set(id_columns) <= set(header):
            return None, {}
        id_at = [header.index(name) for name in id_columns]
        at = {name: header.index(name) for name in columns if name in header}
        for _, fields in records:
            if len(fields) != len(header):
                continue
            ids[ID_JOINT.join(one_form(fields[place]).strip(SPACES) for place in id_at)] = None
            for name, place in at.items():
                seen = cells.setdefault(name, {})
                if len(seen) < _SAMPLE_CELLS:
                    seen[fields[place]] = None
    except Unreadable:
        return None, {}
    return list(ids), {name: list(seen) for name, seen in cells.items()}


def _place(slug: str | None) -> str:
    return "" if slug is None else f"/competitions/{quote(slug, safe='')}"
