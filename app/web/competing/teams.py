"""The team page: join, members, invite links and merges."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from app.base import db
from app.base.errors import Forbidden
from app.competing import invites, merges, methods, picks, rosters, rules, submissions, teams, visibility
from app.web.context import field, note_position, parts, safe_next, signed_in
from app.web.json_answers import invite_link

blueprint = Blueprint("teams", __name__)


@blueprint.post("/competitions/<slug:slug>/join")
def join(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = visibility.find(session, slug, me)
        read = request.form.get("rules", type=int)
        if read is None and rules.due(session, competition, me.id) is not None:
            return redirect(url_for("rules.show", slug=slug, next=request.form.get("next")), 303)
        team = teams.join(session, competition, me, now=now, accepts_rules=read)
    flash(f"You have joined as {team.name}. Download the data, then submit your first predictions.")
    return redirect(safe_next(request.form.get("next"), url_for("competitions.data", slug=slug)), 303)


@blueprint.get("/competitions/<slug:slug>/team")
def show(slug: str) -> ResponseReturnValue:
    return _page(slug)


@blueprint.post("/competitions/<slug:slug>/team")
def rename(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = visibility.find(session, slug, me)
        team = teams.of(session, competition, me.id)
        if team is None:
            raise Forbidden(f"Join {competition.title} first.")
        teams.rename(session, competition, team, field("name"), by=me.name, now=now)
    flash(f"Your team is now called {team.name}.")
    return _back(slug)


@blueprint.post("/competitions/<slug:slug>/team/method")
def describe(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = visibility.find(session, slug, me)
        team = teams.of(session, competition, me.id)
        if team is None:
            raise Forbidden(f"Join {competition.title} first.")
        methods.describe(session, competition, team, field("text"), field("link"), by=me.name, now=now)
    flash("Your description is stored. The board shows it after the close.")
    return _back(slug)


@blueprint.post("/competitions/<slug:slug>/team/leave")
def leave(slug: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        team = teams.leave(session, visibility.find(session, slug, me), me, now=now)
    flash(f"You have left the team and take part alone, as {team.name}.")
    return _back(slug)


@blueprint.post("/competitions/<slug:slug>/team/remove")
def remove(slug: str) -> ResponseReturnValue:
    member = field("member")
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        teams.remove(session, visibility.find(session, slug, me), me, member, now=now)
    flash(f"{member} is no longer in your team.")
    return _back(slug)


@blueprint.post("/competitions/<slug:slug>/team/captain")
def hand_over(slug: str) -> ResponseReturnValue:
    member = field("member")
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        teams.hand_over(session, visibility.find(session, slug, me), me, member, now=now)
    flash(f"{member} is now the captain.")
    return _back(slug)


@blueprint.post("/competitions/<slug:slug>/team/invites")
def invite(slug: str) -> ResponseReturnValue:
    """Make an invite and show its link on this page only."""
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        _, secret = invites.make(
            session,
            visibility.find(session, slug, me),
            me,
            days=request.form.get("days", 0, type=int),
            uses=request.form.get("uses", 0, type=int),
            now=now,
        )
    return _page(slug, link=invite_link(slug, secret))


@blueprint.post("/competitions/<slug:slug>/team/invites/<id:invite_id>/revoke")
def revoke_invite(slug: str, invite_id: int) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        invites.revoke(session, visibility.find(session, slug, me), me, invite_id, now=now)
    flash("The invite link is revoked.")
    return _back(slug)


@blueprint.get("/competitions/<slug:slug>/team/join/<secret>")
def invited(slug: str, secret: str) -> ResponseReturnValue:
    """Show the team behind an invite link, and the button to join it."""
    with parts().database.read() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = visibility.find(session, slug, me)
        team = invites.team_behind(session, competition, secret, now=now)
        members = teams.members(session, team)
        own = teams.of(session, competition, me.id)
        own_members = teams.members(session, own) if own is not None else []
        has_files = own is not None and teams.has_files(session, own)
    return render_template(
        "competing/teams/invited.html",
        competition=competition,
        team=team,
        members=members,
        own=own,
        own_members=own_members,
        has_files=has_files,
        secret=secret,
        now=now,
    )


@blueprint.post("/competitions/<slug:slug>/team/join/<secret>")
def accept_invite(slug: str, secret: str) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        team = invites.accept(session, visibility.find(session, slug, me), me, secret, now=now)
    flash(f"You are in the team {team.name}.")
    return _back(slug)


@blueprint.post("/competitions/<slug:slug>/team/merge")
def offer_merge(slug: str) -> ResponseReturnValue:
    name = field("team")
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        merges.offer(session, visibility.find(session, slug, me), me, name, now=now)
    flash(f"The captain of {name} sees your offer on the page of that team.")
    return _back(slug)


@blueprint.post("/competitions/<slug:slug>/team/offers/<id:offer_id>/accept")
def accept_merge(slug: str, offer_id: int) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        merged = merges.accept(session, visibility.find(session, slug, me), me, offer_id, now=now)
    picks = "" if merged.keeps_picks else " All final picks were taken back, as they were more than allowed."
    flash(f"The teams are one now, {merged.team.name}.{picks}")
    return _back(slug)


@blueprint.post("/competitions/<slug:slug>/team/offers/<id:offer_id>/decline")
def decline_merge(slug: str, offer_id: int) -> ResponseReturnValue:
    with parts().database.begin() as session:
        now = db.now(session)
        me = signed_in(session, now)
        merges.decline(session, visibility.find(session, slug, me), me, offer_id, now=now)
    flash("The offer to merge has ended.")
    return _back(slug)


def _page(slug: str, *, link: str | None = None) -> str:
    with parts().database.read() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = visibility.find(session, slug, me)
        team = teams.of(session, competition, me.id)
        note_position(session, competition, me, now)
        own: dict[str, Any] = {}
        if team is not None:
            own["roster"] = rosters.of(session, competition, team, me, now=now)
            own["allowance"] = submissions.allowance(session, competition, team, now=now)
            own["picked"] = len(picks.of(session, team))
    return render_template(
        "competing/teams/show.html",
        competition=competition,
        team=team,
        **own,
        link=link,
        most_days=invites.MOST_DAYS,
        now=now,
    )


def _back(slug: str) -> Response:
    return redirect(url_for("teams.show", slug=slug), 303)
