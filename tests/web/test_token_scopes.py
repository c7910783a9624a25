"""An organiser's token has the powers of an organiser only with the scope organise, on every route."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.base import db
from app.base.models import Submission
from app.people.tokens import Scope
from tests.web.site import CSV, PRIVATE_CANARY, Site

NARROW = Scope.READ, Scope.SUBMIT
KAGGLE = "/api/v1/competitions.CompetitionApiService/"


def ask(site: Site, scope: Scope, address: str, body: Any = None) -> TestResponse:
    client, headers = site.visitor().client, site.token("grace", scope)
    if body is not None:
        return client.post(KAGGLE + address, json=body, headers=headers)
    return client.get(address, headers=headers)


@pytest.mark.parametrize("scope", Scope)
def test_foreign_files_and_early_private_scores_need_the_scope_organise(scope: Scope, site: Site) -> None:
    number = site.submit("ada")
    site.score(number, 0.25)
    with site.database.read() as session:
        team_id = session.scalars(select(Submission.team_id)).one()
    address = f"/api/v1/submissions/{number}"
    asked = {
        "status": ask(site, scope, address),
        "file": ask(site, scope, f"{address}/file"),
        "train files": ask(site, scope, f"{address}/train-files"),
        "kaggle": ask(site, scope, "GetSubmission", {"ref": number}),
        "kaggle team": ask(site, scope, "ListTeamPublicSubmissions", {"teamId": team_id}),
    }
    for what, answer in asked.items():
        assert (answer.status_code == 200) == (scope is Scope.ORGANISE), (what, answer.text)
    assert (str(PRIVATE_CANARY) in asked["status"].text) == (scope is Scope.ORGANISE)
    assert (asked["file"].data == CSV) == (scope is Scope.ORGANISE)


@pytest.mark.parametrize("scope", Scope)
def test_private_scores_of_an_organisers_own_files_need_the_scope_organise(scope: Scope, site: Site) -> None:
    site.join("grace")
    number = site.submit("grace")
    site.score(number, 0.25)
    for address in (f"/api/v1/submissions/{number}", "/api/v1/competitions/biopsy/submissions"):
        answer = ask(site, scope, address)
        assert answer.status_code == 200
        assert scope is Scope.ORGANISE or str(PRIVATE_CANARY) not in answer.text, address


@pytest.mark.parametrize("scope", Scope)
def test_data_before_the_opening_needs_the_scope_organise(scope: Scope, site: Site) -> None:
    with site.database.read() as session:
        site.change(opens_at=db.now(session) + timedelta(days=1))
    file = {"competitionName": "biopsy", "fileName": "train.csv"}
    asked = {
        "files": ask(site, scope, "/api/v1/competitions/biopsy/files"),
        "file": ask(site, scope, "/api/v1/competitions/biopsy/files/train.csv"),
        "kaggle files": ask(site, scope, "ListDataFiles", {"competitionName": "biopsy"}),
        "kaggle file": ask(site, scope, "DownloadDataFile", file),
        "kaggle bundle": ask(site, scope, "DownloadDataFiles", {"competitionName": "biopsy"}),
    }
    for what, answer in asked.items():
        assert (answer.status_code in (200, 302)) == (scope is Scope.ORGANISE), (what, answer.text)
    listed = ask(site, scope, "ListCompetitions", {"group": "COMPETITION_LIST_TAB_UNLAUNCHED_COMMUNITY"})
    assert ("biopsy" in listed.text) == (scope is Scope.ORGANISE)


def test_metrics_name_the_scope_that_an_organisers_token_lacks(site: Site) -> None:
    for scope in NARROW:
        answer = ask(site, scope, "/metrics")
        assert answer.status_code == 403
        assert f"has the scope {scope}; this needs organise" in answer.text
    assert ask(site, Scope.ORGANISE, "/metrics").status_code == 200


@pytest.mark.parametrize("scope", Scope)
def test_me_tells_an_organisers_account_whatever_the_scope(scope: Scope, site: Site) -> None:
    me = ask(site, scope, "/api/v1/me").json
    assert me is not None
    assert (me["is_organiser"], me["token"]["scope"]) == (True, scope)
