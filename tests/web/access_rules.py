"""Access rule of each route; tests are generated from this table."""

from __future__ import annotations

from enum import StrEnum


class Access(StrEnum):
    PUBLIC = "public"
    SIGNED_IN = "signed in"
    """Signed in by browser; visitors are redirected to the sign-in."""
    OWN = "own"
    """Signed in, and the object is the user's or their team's; others get 404."""
    TEAM = "own team"
    """As `own`; organisers may read too."""
    ORGANISER = "organiser"
    """An organiser, or a host of the competition; others get 404."""
    OWNER = "owner"
    """As `organiser`, but a co-host gets 403."""
    OPERATOR = "organiser of the installation"
    """Others, hosts too, get 404."""
    TOKEN = "token"
    """The API: a bearer token, never a cookie."""
    ADDRESS = "secret address"
    """The address is the permission; an unknown one gets 404."""
    TOKEN_TEAM = "token of the own team"
    """As `token`, and the object is the own team's; organisers may read too."""
    ORGANISER_TOKEN = "token of an organiser"
    """A token with the scope organise of an organiser or a host; other accounts get 404."""
    OPERATOR_TOKEN = "token of an organiser of the installation"
    """A token with the scope organise; other accounts, hosts too, get 404."""
    OWNER_TOKEN = "token of an owner"
    """As `token of an organiser`, but a co-host gets 403."""


SAFE = frozenset({"GET"})

ACCESS: dict[str, Access] = {
    "GET static": Access.PUBLIC,
    "GET pages.healthz": Access.PUBLIC,
    "GET pages.readyz": Access.PUBLIC,
    "GET pages.api": Access.PUBLIC,
    "GET pages.guide": Access.PUBLIC,
    "GET pages.licences": Access.PUBLIC,
    "GET accounts.setup": Access.PUBLIC,  # with the printed token; see test_accounts.py
    "POST accounts.setup": Access.PUBLIC,
    "GET accounts.sign_in": Access.PUBLIC,
    "POST accounts.sign_in": Access.PUBLIC,
    "GET accounts.sign_up": Access.PUBLIC,
    "POST accounts.sign_up": Access.PUBLIC,
    "POST accounts.sign_out": Access.PUBLIC,
    "GET accounts.show": Access.SIGNED_IN,
    "POST accounts.change_password": Access.SIGNED_IN,
    "POST accounts.revoke_browser": Access.OWN,
    "POST accounts.create_token": Access.SIGNED_IN,
    "POST accounts.revoke_token": Access.OWN,
    "GET competitions.index": Access.PUBLIC,
    "GET competitions.show": Access.PUBLIC,
    "GET competitions.data": Access.PUBLIC,
    "GET competitions.download": Access.PUBLIC,
    "GET competitions.folds": Access.PUBLIC,
    "GET competitions.bundle": Access.PUBLIC,
    "POST teams.join": Access.SIGNED_IN,
    "GET rules.show": Access.PUBLIC,
    "POST rules.accept": Access.SIGNED_IN,
    "GET teams.show": Access.SIGNED_IN,
    "POST teams.rename": Access.SIGNED_IN,
    "POST teams.leave": Access.SIGNED_IN,
    "POST teams.remove": Access.SIGNED_IN,
    "POST teams.hand_over": Access.SIGNED_IN,
    "POST teams.invite": Access.SIGNED_IN,
    "POST teams.revoke_invite": Access.OWN,
    "GET teams.invited": Access.SIGNED_IN,
    "POST teams.accept_invite": Access.SIGNED_IN,
    "POST teams.offer_merge": Access.SIGNED_IN,
    "POST teams.accept_merge": Access.OWN,
    "POST teams.decline_merge": Access.OWN,
    "GET submissions.new": Access.SIGNED_IN,
    "GET submissions.schema": Access.SIGNED_IN,
    "POST submissions.create": Access.SIGNED_IN,
    "GET submissions.index": Access.SIGNED_IN,
    "GET submissions.show": Access.TEAM,
    "GET submissions.download": Access.TEAM,
    "POST submissions.pick": Access.OWN,
    "POST submissions.cancel": Access.OWN,
    "POST submissions.withdraw": Access.OWN,
    "POST train_files.create": Access.OWN,
    "GET train_files.download": Access.TEAM,
    "GET leaderboard.show": Access.PUBLIC,
    "GET leaderboard.results": Access.PUBLIC,
    "GET reports.show": Access.PUBLIC,
    "GET organise.show": Access.ORGANISER,
    "POST organise.retry": Access.ORGANISER,
    "POST organise.rescore": Access.ORGANISER,
    "GET organise.rescore_show": Access.ORGANISER,
    "POST organise.rescore_apply": Access.ORGANISER,
    "POST organise.rescore_discard": Access.ORGANISER,
    "POST organise.team_rename": Access.ORGANISER,
    "POST organise.extension_grant": Access.ORGANISER,
    "POST organise.extension_revoke": Access.ORGANISER,
    "GET changes.show": Access.ORGANISER,
    "POST changes.preview": Access.ORGANISER,
    "POST changes.apply": Access.ORGANISER,
    "GET hosts.show": Access.ORGANISER,
    "POST hosts.add": Access.OWNER,
    "POST hosts.remove": Access.OWNER,
    "GET doctor.show": Access.OPERATOR,
    "GET operate.show": Access.OPERATOR,
    "POST operate.retry": Access.OPERATOR,
    "POST operate.lift_sign_in_limits": Access.OPERATOR,
    "GET operate.metrics": Access.OPERATOR,
    "GET drafts.index": Access.OPERATOR,
    "POST drafts.create": Access.OPERATOR,
    "POST drafts.create_of_parts": Access.OPERATOR,
    "GET drafts.show": Access.OPERATOR,
    "POST drafts.remove_file": Access.OPERATOR,
    "POST drafts.upload": Access.OPERATOR,
    "POST drafts.choose": Access.OPERATOR,
    "POST drafts.mend": Access.OPERATOR,
    "POST drafts.repeat": Access.OPERATOR,
    "POST drafts.open_": Access.OPERATOR,
    "POST drafts.delete": Access.OPERATOR,
    "GET api.draft_index": Access.OPERATOR_TOKEN,
    "POST api.draft_create": Access.OPERATOR_TOKEN,
    "GET api.draft_show": Access.OPERATOR_TOKEN,
    "PATCH api.draft_change": Access.OPERATOR_TOKEN,
    "POST api.draft_file_create": Access.OPERATOR_TOKEN,
    "DELETE api.draft_file_delete": Access.OPERATOR_TOKEN,
    "POST api.draft_mend": Access.OPERATOR_TOKEN,
    "POST api.draft_repeat": Access.OPERATOR_TOKEN,
    "POST api.draft_open": Access.OPERATOR_TOKEN,
    "DELETE api.draft_delete": Access.OPERATOR_TOKEN,
    "POST organise.pause": Access.ORGANISER,
    "POST organise.close": Access.ORGANISER,
    "GET integrity.show": Access.ORGANISER,
    "POST integrity.inspect": Access.ORGANISER,
    "GET integrity.case": Access.ORGANISER,
    "POST integrity.act": Access.ORGANISER,
    "GET api.description": Access.PUBLIC,
    "GET api.me": Access.TOKEN,
    "GET api.token_index": Access.TOKEN,
    "POST api.token_create": Access.TOKEN,
    "DELETE api.token_revoke": Access.TOKEN_TEAM,
    "GET api.team_show": Access.TOKEN,
    "GET api.rules_show": Access.TOKEN,
    "POST api.rules_accept": Access.TOKEN,
    "POST api.team_rename": Access.TOKEN,
    "POST api.team_leave": Access.TOKEN,
    "POST api.team_remove": Access.TOKEN,
    "POST api.team_hand_over": Access.TOKEN,
    "POST api.invite_create": Access.TOKEN,
    "DELETE api.invite_revoke": Access.TOKEN_TEAM,
    "POST api.invite_accept": Access.TOKEN,
    "POST api.offer_create": Access.TOKEN,
    "POST api.offer_accept": Access.TOKEN_TEAM,
    "DELETE api.offer_decline": Access.TOKEN_TEAM,
    "POST api.pick": Access.TOKEN_TEAM,
    "POST api.cancel": Access.TOKEN_TEAM,
    "POST api.withdraw": Access.TOKEN_TEAM,
    "POST api.upload_begin": Access.TOKEN,
    "POST api.upload_submit": Access.TOKEN,
    "POST mcp.call": Access.TOKEN,
    "GET api.board_csv": Access.TOKEN,
    "GET api.competition_index": Access.TOKEN,
    "GET api.competition_show": Access.TOKEN,
    "PATCH api.competition_change": Access.ORGANISER_TOKEN,
    "GET api.host_index": Access.ORGANISER_TOKEN,
    "POST api.host_add": Access.OWNER_TOKEN,
    "DELETE api.host_remove": Access.OWNER_TOKEN,
    "GET api.file_index": Access.TOKEN,
    "GET api.file_show": Access.TOKEN,
    "GET api.folds": Access.TOKEN,
    "GET api.bundle": Access.TOKEN,
    "POST api.join": Access.TOKEN,
    "GET api.quota": Access.TOKEN,
    "POST api.submission_create": Access.TOKEN,
    "GET api.submission_index": Access.TOKEN,
    "GET api.submission_show": Access.TOKEN_TEAM,
    "GET api.submission_file": Access.TOKEN_TEAM,
    "GET api.train_file_index": Access.TOKEN_TEAM,
    "GET api.train_file_show": Access.TOKEN_TEAM,
    "POST api.train_file_create": Access.TOKEN_TEAM,
    "GET api.submission_schema": Access.TOKEN,
    "POST api.check_create": Access.TOKEN,
    "GET api.check_show": Access.TOKEN_TEAM,
    "GET api.report": Access.TOKEN,
    "GET api.board": Access.TOKEN,
    "GET client.show": Access.PUBLIC,
    "POST client.create_token": Access.SIGNED_IN,
    "GET client.wheel": Access.PUBLIC,
    "GET kaggle_recipe.show": Access.SIGNED_IN,
    "POST kaggle_recipe.create_token": Access.SIGNED_IN,
    "POST kaggle_rpc.call": Access.TOKEN,  # except one method; see test_kaggle.py
    "GET kaggle_rest.hello": Access.TOKEN,
    "GET kaggle_rest.competition_list": Access.TOKEN,
    "GET kaggle_rest.file_list": Access.TOKEN,
    "GET kaggle_rest.download_file": Access.TOKEN,
    "GET kaggle_rest.download_all": Access.TOKEN,
    "POST kaggle_rest.start_upload": Access.TOKEN,
    "POST kaggle_rest.start_upload_of_named": Access.TOKEN,
    "POST kaggle_rest.create_submission": Access.TOKEN,
    "GET kaggle_rest.submission_list": Access.TOKEN,
    "GET kaggle_rest.board": Access.TOKEN,
    "GET kaggle_rest.download_board": Access.TOKEN,
    "PUT kaggle_transfers.upload": Access.ADDRESS,
    "PUT kaggle_transfers.blob": Access.ADDRESS,
    "GET kaggle_transfers.download": Access.ADDRESS,
}
