"""The calls of kaggle 1.8 and newer and of kagglehub: `POST /api/v1/SERVICE/METHOD` with a JSON body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import jsonify, request
from flask.typing import ResponseReturnValue

from app.base.errors import Refused
from app.web.kaggle import hosting, verbs, wire

blueprint = wire.blueprint("kaggle_rpc")

COMPETITIONS = "competitions.CompetitionApiService"
BLOBS = "blobs.BlobApiService"
LARGEST = 2**63 - 1


class Body:
    """The fields of a request. Clients leave out a field that has its default."""

    def __init__(self, fields: Any) -> None:
        self.fields: Mapping[str, Any] = fields if isinstance(fields, dict) else {}

    def text(self, name: str) -> str:
        value = self.fields.get(name, "")
        if not isinstance(value, str):
            raise Refused(f"{name} is not a text.")
        return "".join(c for c in value if c.isprintable())

    def number(self, name: str, default: int = 0) -> int:
        value = self.fields.get(name, default)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:20])
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
            raise Refused(f"{name} is not a number from 0 to {LARGEST}.")
        return value

    def flag(self, name: str) -> bool:
        return self.fields.get(name, False) is True

    def size_of_page(self, default: int) -> int:
        return min(self.number("pageSize") or default, verbs.SUBMISSIONS)

    def any(self, name: str) -> Any:
        """Return a field as it was sent; None if it was not."""
        return self.fields.get(name)

    @property
    def slug(self) -> str:
        return self.text("competitionName")


def _competition_list(body: Body) -> ResponseReturnValue:
    found, following = verbs.competition_list(
        group=body.text("group"),
        category=body.text("category"),
        sort_by=body.text("sortBy"),
        search=body.text("search"),
        page_token=body.text("pageToken"),
    )
    return jsonify(competitions=found, nextPageToken=following)


def _file_list(body: Body) -> ResponseReturnValue:
    found, following = verbs.file_list(
        body.slug, page_token=body.text("pageToken"), page_size=body.size_of_page(verbs.LISTED)
    )
    return jsonify(files=found, nextPageToken=following)


def _start(body: Body) -> ResponseReturnValue:
    return verbs.start_upload(
        body.slug, filename=body.text("fileName"), size_bytes=body.number("contentLength")
    )


def _create(body: Body) -> ResponseReturnValue:
    return verbs.create_submission(
        body.slug,
        token=body.text("blobFileTokens"),
        message=body.text("submissionDescription"),
        sandbox=body.flag("sandbox"),
    )


def _submission_list(body: Body) -> ResponseReturnValue:
    found, following = verbs.submission_list(
        body.slug, page_token=body.text("pageToken"), page_size=body.size_of_page(verbs.SUBMISSIONS)
    )
    return jsonify(submissions=found, nextPageToken=following)


def _board(body: Body) -> ResponseReturnValue:
    found, following = verbs.board(body.slug, page_token=body.text("pageToken"))
    return jsonify(submissions=found, nextPageToken=following)


METHODS: Mapping[tuple[str, str], Callable[[Body], ResponseReturnValue]] = {
    ("security.OAuthService", "IntrospectToken"): lambda body: verbs.introspect(body.text("token")),
    ("api.v1.DiagnosticsService", "Hello"): lambda _: verbs.hello(),
    (COMPETITIONS, "ListCompetitions"): _competition_list,
    (COMPETITIONS, "ListDataFiles"): _file_list,
    (COMPETITIONS, "DownloadDataFile"): lambda body: verbs.download_file(body.slug, body.text("fileName")),
    (COMPETITIONS, "DownloadDataFiles"): lambda body: verbs.download_all(body.slug),
    (COMPETITIONS, "StartSubmissionUpload"): _start,
    (COMPETITIONS, "CreateSubmission"): _create,
    (COMPETITIONS, "CreateCodeSubmission"): lambda _: verbs.refuse_code_submission(),
    (COMPETITIONS, "GetSubmission"): lambda body: verbs.submission(body.number("ref")),
    (COMPETITIONS, "GetSubmissionLimits"): lambda body: verbs.limits(body.slug),
    (COMPETITIONS, "ListSubmissions"): _submission_list,
    (COMPETITIONS, "DownloadSubmission"): lambda body: verbs.download_submission(body.number("submissionId")),
    (COMPETITIONS, "GetLeaderboard"): _board,
    (COMPETITIONS, "DownloadLeaderboard"): lambda body: verbs.download_board(body.slug),
    (COMPETITIONS, "ListTeamPublicSubmissions"): lambda body: {
        "submissions": verbs.team_submissions(body.number("teamId"))
    },
    (BLOBS, "StartBlobUpload"): lambda body: hosting.start_blob(
        kind=body.text("type"), size_bytes=body.number("contentLength")
    ),
    (COMPETITIONS, "CreateCompetition"): lambda body: hosting.create(body.fields),
    (COMPETITIONS, "CreateCompetitionData"): lambda body: hosting.create_data(
        body.slug, body.any("files") or [], is_rerun="RERUN" in body.text("competitionDatabundleType")
    ),
    (COMPETITIONS, "CreateCompetitionSolution"): lambda body: hosting.create_solution(
        body.slug, body.text("blobToken")
    ),
    (COMPETITIONS, "GetCompetitionSolutionStatus"): lambda body: hosting.solution_status(body.slug),
    (COMPETITIONS, "GetCompetitionSettings"): lambda body: hosting.settings(body.slug),
    (COMPETITIONS, "UpdateCompetitionSettings"): lambda body: hosting.update_settings(
        body.slug, body.any("settings"), body.text("updateMask")
    ),
    (COMPETITIONS, "ListCompetitionHosts"): lambda body: hosting.hosts(body.slug),
    (COMPETITIONS, "AddCompetitionHost"): lambda body: hosting.add_host(body.slug, body.text("userName")),
    (COMPETITIONS, "LaunchCompetition"): lambda body: hosting.launch(body.slug, body.text("futureTime")),
    (COMPETITIONS, "ListCompetitionPages"): lambda body: hosting.pages(body.slug, body.text("pageName")),
    (COMPETITIONS, "CreateCompetitionPage"): lambda body: hosting.write_page(body.slug, "", body.any("page")),
    (COMPETITIONS, "UpdateCompetitionPage"): lambda body: hosting.write_page(
        body.slug, body.text("pageName"), body.any("page")
    ),
    (COMPETITIONS, "DeleteCompetitionPage"): lambda body: hosting.refuse_to_delete_page(body.slug),
}


@blueprint.post("/<service:service>/<string:method>")
def call(service: str, method: str) -> ResponseReturnValue:
    """Answer one call, or say that Heldout has no such verb."""
    run = METHODS.get((service, method))
    if run is None:
        raise Refused(
            f"Heldout does not offer {method[:60]} to Kaggle clients; look at its pages and own API."
        )
    try:
        fields = request.get_json(force=True, silent=True)
    except RecursionError:  # of a thousand brackets
        fields = None
    return run(Body(fields))
