"""The command `heldout`: the verbs of a participant.

Exit codes: 0 done, 1 the server refused it or rejected the file, 2 the command or the file is wrong,
3 the server does not answer, 4 not signed in or not allowed, 130 interrupted.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

from heldout_client import VERSION, logins, messages
from heldout_client.checking import Verdict
from heldout_client.content import Content
from heldout_client.errors import ClientError, Refusal, words_of
from heldout_client.logins import Login
from heldout_client.messages import minute
from heldout_client.participant import Participant, Submitted
from heldout_client.progress import Bar
from heldout_client.verbs import Argument, Verb

EXIT_CODES = (__doc__ or "").split("\n\n")[1].replace("\n", " ").strip()
WAIT_SECONDS = 900.0


class Session:
    """One run of the command: its words, and where its output goes."""

    def __init__(self, options: argparse.Namespace, env: Mapping[str, str]) -> None:
        self.options, self.env = options, env

    def participant(self) -> Participant:
        login = logins.current(self.env, self.options.url)
        return Participant(login, self.env, shows_progress=not self.options.quiet, say=self.say)

    def say(self, text: str) -> None:
        """Write a message that is not the result."""
        if not self.options.quiet:
            _complain(text)

    def show(self, value: Any, text: str) -> None:
        """Print the result: as JSON if that is asked for, else as text."""
        plain = "\n".join(map(_plain, text.split("\n")))
        print(json.dumps(value, ensure_ascii=False) if self.options.json else plain)

    def show_problems(self, verdict: Verdict) -> None:
        for problem in verdict.problems:
            _complain(words_of(problem.as_dict()))
        for warning in verdict.warnings:
            self.say(f"warning: {words_of(warning.as_dict())}")


def _login(session: Session) -> int:
    address = session.options.address or session.options.url or logins.known_address(session.env)
    if not address:
        raise ClientError("Name the address: heldout login http://HOST:PORT")
    address = logins.clean_address(address)
    token = session.options.token or session.env.get("HELDOUT_TOKEN") or _asked_token(address)
    login = Login(address, token)
    account = Participant(login, session.env, say=session.say).me()
    path = logins.save(session.env, login)
    scope = account["token"]["scope"]
    words = f"Signed in at {address} as {account['name']}; the token may {scope}. Saved in {path}."
    session.show({"address": address, "name": account["name"], "scope": scope}, words)
    return 0


def _asked_token(address: str) -> str:
    if sys.stdin.isatty():
        print(f"Make a token at {address}/client/ and paste it here.", file=sys.stderr)
        token = getpass.getpass("Token: ")
    else:
        token = sys.stdin.readline()
    if not token.strip():
        raise ClientError(f"No token was given. Make one at {address}/client/.")
    return token.strip()


def _competitions(session: Session) -> int:
    listed = session.participant().competitions()
    rows = [
        [one["slug"], one["title"], one["phase"], one["closes_at"] or "", one["metric_name"], one["teams"]]
        for one in listed
    ]
    session.show(listed, _table(["competition", "title", "phase", "closes", "metric", "teams"], rows))
    return 0


def _data(session: Session) -> int:
    found = session.participant().data()
    session.show(found, json.dumps(found, ensure_ascii=False, indent=1))
    return 0


def _enter(session: Session) -> int:
    found = session.participant().enter(session.options.link)
    slug = found["competition"]
    session.show(found, f"You see {found['title']} from now on. To take part: heldout join {slug}")
    return 0


def _join(session: Session) -> int:
    slug = session.options.competition
    team = session.participant().join(slug, accept_rules=session.options.accept_rules)
    session.show({"competition": slug, "team": team}, f"You take part in {slug} as the team {team}.")
    return 0


def _rules(session: Session) -> int:
    slug, number = session.options.competition, session.options.accept
    participant = session.participant()
    found = participant.rules(slug) if number is None else participant.accept_rules(slug, number)
    state = f"accepted {minute(found['accepted_at'])}" if found["accepted_at"] else "not accepted"
    session.show(found, f"{found['text']}\n\nVersion {found['version']}, {state}.")
    return 0


def _download(session: Session) -> int:
    options = session.options
    done = session.participant().download(options.competition, options.files, Path(options.output))
    lines = [f"{file['path']}{'' if file['downloaded'] else '  (is there already)'}" for file in done]
    session.show(done, "\n".join(lines))
    return 0


def _check(session: Session) -> int:
    content = Content.of_path(Path(session.options.file))
    verdict = session.participant().check(content, session.options.competition)
    session.show_problems(verdict)
    if verdict.ok:
        words = f"{content.name}: {verdict.n_rows} rows, no problem found."
        if verdict.unchecked:
            words += f" Only the server checks: {'; '.join(verdict.unchecked)}."
    else:
        n = len(verdict.problems)
        words = f"{content.name} would be refused: {n} problem{'s' if n > 1 else ''}."
    session.show(verdict.as_dict(), words)
    return 0 if verdict.ok else 2


def _submit(session: Session) -> int:
    options = session.options
    content = Content.of_path(Path(options.file))
    line = Bar("waiting", 0, shown=not options.quiet)

    def watch(sent: Submitted) -> None:
        if not sent.is_final:
            line.words(sent.words())

    sent = session.participant().submit(
        content,
        options.competition,
        message=options.message,
        checks=not options.no_check,
        sandbox=options.sandbox,
        wait_seconds=options.timeout if options.wait else None,
        warn=session.show_problems,
        watch=watch,
    )
    line.clear()
    if sent.is_replay:
        session.say("The file had arrived before; this is its first receipt, and it counts once.")
    for problem in sent.problems:
        _complain(words_of(problem))
    left = "" if sent.remaining_today is None else f" {sent.remaining_today} uploads are left today."
    if sent.is_late:
        left += " It is late: scored and not ranked."
    elif not sent.is_ranked:
        left = " It is never ranked: an organiser has sent it."
    words = sent.words()
    session.show(sent.as_dict(), f"{words[0].upper()}{words[1:]}.{left}\n{sent.page}")
    return 1 if sent.state in ("rejected", "failed") else 0


def _submissions(session: Session) -> int:
    listed = session.participant().submissions(session.options.competition, session.options.limit)
    rows = [
        [
            one["id"],
            (one["received_at"] or "")[:19].replace("T", " "),
            one["state"],
            _number(one["public"]),
            _number(one["private"]),
            "pick" if one["is_picked"] else "late" if one.get("is_late") else "",
            one["filename"],
            one["message"],
        ]
        for one in listed
    ]
    head = ["id", "received", "state", "public", "private", "", "file", "message"]
    session.show(listed, _table(head, rows))
    return 0


def _leaderboard(session: Session) -> int:
    board = session.participant().leaderboard(session.options.competition, session.options.top)
    shown = board["rows"]
    if board["mine"] and not any(row["is_mine"] for row in shown):
        shown = [*shown, board["mine"]]
    rows = [
        [
            row["rank"] or "",
            row["team"] + (" (you)" if row["is_mine"] else " (baseline)" if row["is_baseline"] else ""),
            _number(row["score"]),
            row["entries"],
        ]
        for row in shown
    ]
    session.show(board, _table(["rank", "team", board["scores"], "entries"], rows))
    return 0


def _pick(session: Session) -> int:
    participant, removes = session.participant(), session.options.remove
    for submission_id in session.options.ids:
        participant.pick(submission_id, is_picked=not removes)
    listed = ", ".join(map(str, session.options.ids))
    words = f"{listed} {'is no final pick any more' if removes else 'counts as a final pick'}."
    session.show({"ids": session.options.ids, "is_picked": not removes}, words)
    return 0


def _cancel(session: Session) -> int:
    participant, ids = session.participant(), session.options.ids
    done = [participant.cancel(submission_id) for submission_id in ids]
    listed = ", ".join(map(str, ids))
    session.show(done, f"{listed} will not be scored; the upload is given back.")
    return 0


def _withdraw(session: Session) -> int:
    participant, ids = session.participant(), session.options.ids
    done = [participant.withdraw(submission_id) for submission_id in ids]
    listed = ", ".join(map(str, ids))
    session.show(done, f"{listed} counts for no board any more; the upload stays used.")
    return 0


def _team(session: Session) -> int:
    """Do the one thing that is asked of the team, and show the team after it."""
    options, participant, slug = session.options, session.participant(), session.options.competition
    steps: dict[str, Callable[[Any], dict[str, Any]]] = {
        "rename": lambda name: participant.rename_team(slug, name),
        "method": lambda text: participant.describe_method(slug, text, options.link),
        "invite": lambda _: participant.invite(slug, uses=options.uses, days=options.days),
        "revoke": lambda number: participant.revoke_invite(slug, number),
        "join": lambda link: participant.join_team(slug, link),
        "leave": lambda _: participant.leave_team(slug),
        "remove": lambda member: participant.remove_member(slug, member),
        "captain": lambda member: participant.hand_over_team(slug, member),
        "merge": lambda team: participant.offer_merge(slug, team),
        "accept": lambda number: participant.accept_merge(slug, number),
        "decline": lambda number: participant.end_offer(slug, number),
    }
    asked = [name for name in steps if getattr(options, name) not in (None, False)]
    if len(asked) > 1:
        raise ClientError(f"Ask one thing at a time, not --{' and --'.join(asked)}.")
    found = steps[asked[0]](getattr(options, asked[0])) if asked else participant.team(slug)
    if asked == ["invite"]:
        made = found["invite"]
        words = f"For {made['most_uses']}, until {minute(made['expires_at'])}. It is shown only now."
        session.show(found, f"{found['link']}\n{words}")
    else:
        session.show(found, "\n".join(_team_lines(found)))
    return 0


def _team_lines(team: dict[str, Any]) -> list[str]:
    members = ", ".join(
        f"{name} (captain)" if name == team["captain"] and len(team["members"]) > 1 else name
        for name in team["members"]
    )
    picks = ", ".join(map(str, team["final_picks"])) or "none"
    lines = [f"{team['team']}: {members}. Final picks: {picks}; {team['most_picks']} at most."]
    for one in team["invites"]:
        used = f"used {one['uses']} of {one['most_uses']}, until {minute(one['expires_at'])}"
        lines.append(f"invite {one['id']}: {used}")
    for one in team["offers"]:
        if one["is_ours"]:
            lines.append(f"offer {one['id']}: to {one['other_team']}")
        else:
            lines.append(f"offer {one['id']}: {one['team']} offers to merge: {', '.join(one['members'])}")
    return lines


_SLUG = Argument(("competition",), "Name of the competition, the last part of its address.")
_FOR = Argument(
    ("-c", "--competition"),
    "Name of the competition, the last part of its address.",
    metavar="NAME",
    required=True,
)
_FILE = Argument(("file",), "The file with the predictions: CSV, .csv.gz, or a .zip of one CSV.")

VERBS = (
    Verb(
        "login",
        "Save the address and a token, after a look whether the server takes them.",
        _login,
        (
            Argument(("address",), "Address of the server, as http://HOST:PORT.", nargs="?"),
            Argument(
                ("--token",),
                "The token; other users of this machine may see it, so better paste it when asked.",
                metavar="TOKEN",
            ),
        ),
    ),
    Verb("competitions", "List the competitions.", _competitions),
    Verb("my-data", "Print what the server keeps of your account, as JSON.", _data),
    Verb(
        "enter",
        "Enter a competition that is not listed, by its private link.",
        _enter,
        (Argument(("link",), "The link that its organiser sent you."),),
    ),
    Verb(
        "join",
        "Take part in a competition.",
        _join,
        (_SLUG, Argument(("--accept-rules",), "The version of its rules you accept.", metavar="N", type=int)),
    ),
    Verb(
        "rules",
        "Show the rules of a competition, or accept a version of them.",
        _rules,
        (_SLUG, Argument(("--accept",), "The version that you accept.", metavar="N", type=int)),
    ),
    *messages.VERBS,
    Verb(
        "download",
        "Download the files of a competition, all or the named ones; go on with what was begun.",
        _download,
        (
            _SLUG,
            Argument(("files",), "Names of files; without one all of them.", nargs="*", metavar="FILE"),
            Argument(
                ("-o", "--output"), "Folder to write into; the current one.", default=".", metavar="FOLDER"
            ),
        ),
    ),
    Verb("check", "Say without sending it whether the server would take a file.", _check, (_FILE, _FOR)),
    Verb(
        "submit",
        "Check a file and send it; an upload that breaks off is repeated and counts once.",
        _submit,
        (
            _FILE,
            _FOR,
            Argument(("-m", "--message"), "A note for yourself.", default="", metavar="TEXT"),
            Argument(("--wait",), "Wait for the result.", is_flag=True),
            Argument(
                ("--timeout",), "Seconds to wait at most.", default=WAIT_SECONDS, metavar="N", type=float
            ),
            Argument(("--no-check",), "Send it unchecked.", is_flag=True),
            Argument(("--sandbox",), "Score it and never rank it; only for organisers.", is_flag=True),
        ),
    ),
    Verb(
        "submissions",
        "List the files your team has sent, newest first.",
        _submissions,
        (_SLUG, Argument(("--limit",), "How many at most.", default=20, metavar="N", type=int)),
    ),
    Verb(
        "leaderboard",
        "Show the board and your row.",
        _leaderboard,
        (_SLUG, Argument(("--top",), "How many rows, up to 200.", default=20, metavar="N", type=int)),
    ),
    Verb(
        "pick",
        "Choose submissions as final picks, which decide on the private board.",
        _pick,
        (
            Argument(("ids",), "Numbers of submissions.", nargs="+", metavar="ID", type=int),
            Argument(("--remove",), "Take the picks back.", is_flag=True),
        ),
    ),
    Verb(
        "cancel",
        "Cancel submissions that still wait; their uploads are given back.",
        _cancel,
        (Argument(("ids",), "Numbers of submissions.", nargs="+", metavar="ID", type=int),),
    ),
    Verb(
        "withdraw",
        "Withdraw scored submissions from the board, before the close; their uploads stay used.",
        _withdraw,
        (Argument(("ids",), "Numbers of submissions.", nargs="+", metavar="ID", type=int),),
    ),
    Verb(
        "team",
        "Show your team in a competition, or change it before the close: one thing at a time.",
        _team,
        (
            _SLUG,
            Argument(("--rename",), "Give the team this name.", metavar="NAME"),
            Argument(("--method",), "Describe the method, for the board after the close.", metavar="TEXT"),
            Argument(("--link",), "With --method: a link to code or a paper.", default="", metavar="URL"),
            Argument(("--invite",), "Make an invite link, as the captain.", is_flag=True),
            Argument(("--uses",), "Members that may join with the link.", default=1, metavar="N", type=int),
            Argument(("--days",), "Days until the link expires.", default=7, metavar="N", type=int),
            Argument(("--revoke",), "Revoke the invite of this number.", metavar="ID", type=int),
            Argument(("--join",), "Join the team of an invite link.", metavar="LINK"),
            Argument(("--leave",), "Leave the team, before its first submission.", is_flag=True),
            Argument(("--remove",), "Remove a member, before the first submission.", metavar="MEMBER"),
            Argument(("--captain",), "Make another member the captain.", metavar="MEMBER"),
            Argument(("--merge",), "Offer another team to merge into yours.", metavar="TEAM"),
            Argument(("--accept",), "Merge your team into the one that offered it.", metavar="ID", type=int),
            Argument(("--decline",), "Decline an offer to merge, or withdraw yours.", metavar="ID", type=int),
        ),
    ),
)

COMMON = (
    Argument(
        ("--url",), "Address of the server (HELDOUT_URL; else the one of the last login).", metavar="URL"
    ),
    Argument(("--json",), "Print the result as JSON.", is_flag=True),
    Argument(("-q", "--quiet"), "Print the result and problems only.", is_flag=True),
)
NAMES = tuple(verb.name for verb in VERBS)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    made = argparse.ArgumentParser(
        prog="heldout", description="Take part in competitions of a Heldout server.", epilog=EXIT_CODES
    )
    made.add_argument("--version", action="version", version=f"heldout-client {VERSION}")
    verbs = made.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        sub = verbs.add_parser(verb.name, help=verb.help, description=verb.help)
        for argument in (*verb.arguments, *COMMON):
            argument.add_to(sub)
        sub.set_defaults(run=verb.run)
    return made


def main(words: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run one verb; return its exit code."""
    options = parser().parse_args(words)
    try:
        return int(options.run(Session(options, os.environ if env is None else env)))
    except ClientError as wrong:
        _complain(f"heldout: {wrong.message}")
        for problem in wrong.problems:
            _complain(words_of(problem))
        if options.json:
            status = wrong.status if isinstance(wrong, Refusal) else None
            print(json.dumps({"error": wrong.message, "status": status, "problems": wrong.problems}))
        return wrong.exit_code
    except KeyboardInterrupt:
        print("heldout: interrupted", file=sys.stderr)
        return 130


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.6g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return "There are none yet."
    cells = [[_plain(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells
    )


def _complain(text: str) -> None:
    print(_plain(text), file=sys.stderr)


def _plain(value: Any) -> str:
    """Return a text without what a terminal obeys: names and messages come from other computers."""
    return "".join(c if c.isprintable() else " " for c in str(value))
