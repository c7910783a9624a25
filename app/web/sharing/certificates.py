"""Certificates: one's own, printable, and the page on which anybody checks one."""

from __future__ import annotations

import segno
from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.base import db
from app.base.errors import Refused
from app.competing import visibility
from app.sharing import certificates
from app.web.context import note_position, parts, signed_in, viewer

blueprint = Blueprint("certificates", __name__)

LONGEST = 2000


@blueprint.get("/competitions/<slug:slug>/certificate")
def show(slug: str) -> ResponseReturnValue:
    """Show the viewer's own certificate, for print."""
    with parts().database.read() as session:
        now = db.now(session)
        me = signed_in(session, now)
        competition = visibility.find(session, slug, me)
        note_position(session, competition, me, now)
        made = certificates.of(session, competition, me, now=now)
    line = parts().signer.sign(made)
    address = url_for("certificates.check", line=line, _external=True)
    return render_template(
        "sharing/certificates/show.html",
        now=now,
        competition=competition,
        certificate=made,
        line=line,
        address=address,
        code=segno.make(address, error="l", micro=False).svg_data_uri(
            scale=3, border=2, dark="#000", light="#fff"
        ),
    )


@blueprint.get("/certificate")
def check() -> ResponseReturnValue:
    """Check a certificate's line: its signature, and whether the board still says the same."""
    line = request.args.get("line", "")[:LONGEST]
    found = refusal = None
    with parts().database.read() as session:
        now = db.now(session)
        viewer(session, now)
        if line:
            try:
                found = certificates.check(
                    session, certificates.read(line, parts().signer.public_key), now=now
                )
            except Refused as wrong:
                refusal = wrong
    page = render_template(
        "sharing/certificates/check.html",
        now=now,
        line=line,
        found=found,
        refusal=refusal,
        public_key=parts().signer.public_key,
    )
    return (page, refusal.status) if refusal is not None else page
