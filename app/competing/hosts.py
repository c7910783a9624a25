"""Host submissions: files of the organisers, which are scored and never ranked.

An organiser tries out a competition with files of its own, which may be the solution. Such a file takes no
rank, no pick and no upload of a quota, and no scan or report counts it.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base.errors import Forbidden
from app.base.models import User
from app.people.accounts import Viewer

NOT_RANKED = "not ranked: submitted by the host"


def is_ranked(session: Session, viewer: Viewer, *, sandbox: bool = False) -> bool:
    """Return whether a file of this account is ranked; refuse `sandbox` for one that is no organiser's.

    By the account and not by the token, whose scope may be a participant's.
    """
    is_host = bool(session.scalar(select(User.is_organiser).where(User.id == viewer.id)))
    if sandbox and not is_host:
        raise Forbidden(
            "Only an organiser can send a file that is scored and not ranked: leave out `sandbox`."
        )
    return not is_host
