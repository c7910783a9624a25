"""Who may ask for what: one line for every route there is. The tests are generated from it."""

from __future__ import annotations

from enum import StrEnum


class Who(StrEnum):
    ANYBODY = "anybody"
    SIGNED_IN = "signed in"
    """A person with a browser; strangers are led to the sign-in."""
    OWN = "own"
    """Signed in, and the object in the address is their own or their team's; to others it does not exist."""
    TEAM = "own team"
    """As `own`, and organisers may read."""
    ORGANISER = "organiser"
    """To everybody else there is no such page."""
    TOKEN = "token"
    """The API: a bearer token and never a cookie."""
    TOKEN_TEAM = "token of the own team"
    """As `token`, and the object is the own team's; organisers may read."""


SAFE = frozenset({"GET"})

POLICIES: dict[str, Who] = {
    "GET static": Who.ANYBODY,
    "GET pages.healthz": Who.ANYBODY,
    "GET pages.readyz": Who.ANYBODY,
    "GET pages.licences": Who.ANYBODY,
    "GET accounts.setup": Who.ANYBODY,  # with the console's token; tests/web/test_request_checks.py and test_accounts.py
    "POST accounts.setup": Who.ANYBODY,
    "GET accounts.sign_in": Who.ANYBODY,
    "POST accounts.sign_in": Who.ANYBODY,
    "GET accounts.sign_up": Who.ANYBODY,
    "POST accounts.sign_up": Who.ANYBODY,
    "POST accounts.sign_out": Who.ANYBODY,
    "GET accounts.show": Who.SIGNED_IN,
    "POST accounts.change_password": Who.SIGNED_IN,
    "POST accounts.revoke_browser": Who.OWN,
    "POST accounts.create_token": Who.SIGNED_IN,
    "POST accounts.revoke_token": Who.OWN,
    "GET competitions.index": Who.ANYBODY,
    "GET competitions.show": Who.ANYBODY,
    "GET competitions.data": Who.ANYBODY,
    "GET competitions.download": Who.ANYBODY,
    "GET competitions.folds": Who.ANYBODY,
    "GET competitions.bundle": Who.ANYBODY,
    "POST teams.join": Who.SIGNED_IN,
    "POST teams.rename": Who.SIGNED_IN,
    "GET submissions.new": Who.SIGNED_IN,
    "POST submissions.create": Who.SIGNED_IN,
    "GET submissions.index": Who.SIGNED_IN,
    "GET submissions.show": Who.TEAM,
    "GET submissions.download": Who.TEAM,
    "POST submissions.pick": Who.OWN,
    "POST train_files.create": Who.OWN,
    "GET train_files.download": Who.TEAM,
    "GET leaderboard.show": Who.ANYBODY,
    "GET reports.show": Who.ANYBODY,
    "GET organise.show": Who.ORGANISER,
    "POST organise.retry": Who.ORGANISER,
    "POST organise.rescore": Who.ORGANISER,
    "GET organise.rescore_show": Who.ORGANISER,
    "POST organise.rescore_apply": Who.ORGANISER,
    "POST organise.rescore_discard": Who.ORGANISER,
    "POST organise.extension_grant": Who.ORGANISER,
    "POST organise.extension_revoke": Who.ORGANISER,
    "GET doctor.show": Who.ORGANISER,
    "GET operate.show": Who.ORGANISER,
    "POST operate.retry": Who.ORGANISER,
    "GET operate.metrics": Who.ORGANISER,
    "POST organise.pause": Who.ORGANISER,
    "POST organise.close": Who.ORGANISER,
    "GET integrity.show": Who.ORGANISER,
    "POST integrity.inspect": Who.ORGANISER,
    "GET integrity.case": Who.ORGANISER,
    "POST integrity.act": Who.ORGANISER,
    "GET api.description": Who.ANYBODY,
    "GET api.me": Who.TOKEN,
    "GET api.competition_index": Who.TOKEN,
    "GET api.competition_show": Who.TOKEN,
    "GET api.file_index": Who.TOKEN,
    "GET api.file_show": Who.TOKEN,
    "GET api.folds": Who.TOKEN,
    "POST api.join": Who.TOKEN,
    "GET api.quota": Who.TOKEN,
    "POST api.submission_create": Who.TOKEN,
    "GET api.submission_index": Who.TOKEN,
    "GET api.submission_show": Who.TOKEN_TEAM,
    "GET api.submission_file": Who.TOKEN_TEAM,
    "GET api.train_file_index": Who.TOKEN_TEAM,
    "POST api.train_file_create": Who.TOKEN_TEAM,
    "GET api.report": Who.TOKEN,
    "GET api.board": Who.TOKEN,
}
