"""Mail: confirming an address, a new password by a link, news, and a mail server that fails."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, func, select

from app.base import config, db
from app.base.config import Settings
from app.base.errors import Misconfigured
from app.base.installation import Installation
from app.base.models import Heartbeat
from app.base.models_mail import Letter, MailAddress, PasswordLink
from app.cli.mail import mail_group
from app.competing import competitions, erasure
from app.delivery import addresses, outbox, smtp
from app.delivery.letters import Composed
from app.messages import questions
from app.operating import doctor
from app.people import accounts
from tests.mail_server import MailServer, mail_server
from tests.servers import eventually
from tests.web.site import PASSWORD, Site
from worker import postman

ADA = "ada@uni.example"
URL = "https://heldout.example"
NEW = "an entirely new password"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture
def mailing(site: Site, server: MailServer) -> Site:
    return site.with_settings(
        public_url=f"{URL}/",
        mail_host="127.0.0.1",
        mail_port=server.port,
        mail_security="none",
        mail_from="Heldout <heldout@uni.example>",
    )


def post_all(site: Site) -> int:
    return postman.post_all(site.settings, site.database)


def link_of(mail: EmailMessage) -> str:
    found = re.search(rf"{URL}(/\S+)", mail.get_content())
    found = re.search(rf"{URL}(/\S+token=\S+)", mail.get_content()) or found
    assert found, mail.get_content()
    return found[1]


def set_address(site: Site, name: str = "ada", address: str = ADA, password: str = PASSWORD) -> int:
    form = {"address": address, "current": password}
    return int(site.browser(name).post("/account/mail", form).status_code)


def confirmed(site: Site, server: MailServer, name: str = "ada", address: str = ADA) -> None:
    assert set_address(site, name, address) == 303
    assert post_all(site) == 1
    link = link_of(server.to(address)[-1])
    assert site.visitor().post("/account/mail/confirm", {"token": link.split("token=")[1]}).status_code == 303


def later(site: Site, **by: float) -> None:
    """Let time pass for letters and links, by setting their times back."""
    with site.database.begin() as session:
        for row in session.scalars(select(Letter).where(Letter.ended_at.is_(None))):
            row.next_try_at -= timedelta(**by)
        for link in session.scalars(select(PasswordLink)):
            link.until -= timedelta(**by)


def test_an_address_is_confirmed_by_the_button_behind_the_link_once(
    mailing: Site, server: MailServer
) -> None:
    assert set_address(mailing, password="wrong password") == 422
    assert set_address(mailing, address="not an address") == 422
    assert set_address(mailing) == 303
    assert post_all(mailing) == 1
    (mail,) = server.taken
    assert (mail["From"], mail["To"]) == ("Heldout <heldout@uni.example>", ADA)
    link = link_of(mail)
    page = mailing.visitor().get(link)
    assert "Confirm the address" in page.text
    assert "not confirmed" in mailing.browser("ada").get("/account").text, (
        "a look at the link changes nothing"
    )
    secret = link.split("token=")[1]
    assert mailing.visitor().post("/account/mail/confirm", {"token": secret}).status_code == 303
    assert "confirmed" in mailing.browser("ada").get("/account").text
    assert mailing.visitor().post("/account/mail/confirm", {"token": secret}).status_code == 404


def test_a_forgotten_password_is_set_by_the_link_once_and_ends_every_session(
    mailing: Site, server: MailServer
) -> None:
    confirmed(mailing, server)
    before = mailing.browser("ada")
    headers = mailing.token("ada")
    page = mailing.visitor().post("/forgot", {"address": ADA.upper()})
    assert post_all(mailing) == 1
    link = link_of(server.to(ADA)[-1])
    secret = link.split("token=")[1]
    assert "For the account ada" in mailing.visitor().get(link).text
    short = mailing.visitor().post("/reset", {"token": secret, "password": "short"})
    assert (short.status_code, "at least 8" in short.text) == (422, True)
    assert mailing.visitor().post("/reset", {"token": secret, "password": NEW}).status_code == 303
    assert before.get("/account").status_code in (302, 303, 401)
    assert mailing.visitor().get("/api/v1/me", headers=headers).status_code in (401, 404)
    with mailing.database.read() as session:
        assert accounts.verify(accounts.candidate(session, "ada"), NEW).name == "ada"
    assert mailing.visitor().post("/reset", {"token": secret, "password": NEW}).status_code == 404
    unknown = mailing.visitor().post("/forgot", {"address": "nobody@uni.example"})
    assert unknown.text == page.text
    assert post_all(mailing) == 0


def test_a_link_ends_after_half_an_hour_and_when_another_was_used(mailing: Site, server: MailServer) -> None:
    confirmed(mailing, server)
    secrets = []
    for _ in range(2):
        mailing.visitor().post("/forgot", {"address": ADA})
        post_all(mailing)
        secrets.append(link_of(server.to(ADA)[-1]).split("token=")[1])
    first, second = secrets
    assert [mailing.visitor().get(f"/reset?token={secret}").status_code for secret in secrets] == [200, 200]
    assert mailing.visitor().post("/reset", {"token": first, "password": NEW}).status_code == 303
    assert mailing.visitor().post("/reset", {"token": second, "password": NEW}).status_code == 404
    mailing.visitor().post("/forgot", {"address": ADA})
    post_all(mailing)
    third = link_of(server.to(ADA)[-1]).split("token=")[1]
    later(mailing, minutes=31)
    assert mailing.visitor().post("/reset", {"token": third, "password": NEW}).status_code == 404


def test_a_change_of_the_password_ends_links_of_letters(mailing: Site, server: MailServer) -> None:
    confirmed(mailing, server)
    mailing.visitor().post("/forgot", {"address": ADA})
    post_all(mailing)
    secret = link_of(server.to(ADA)[-1]).split("token=")[1]
    form = {"current": PASSWORD, "password": NEW}
    assert mailing.browser("ada").post("/account/password", form).status_code == 303
    assert mailing.visitor().get(f"/reset?token={secret}").status_code == 404


def test_pages_with_a_secret_in_their_address_are_sent_to_no_other_page(mailing: Site) -> None:
    for path in ("/account/mail/confirm?token=x", "/reset?token=x"):
        assert mailing.visitor().get(path).headers["Referrer-Policy"] == "no-referrer"


def test_no_secret_of_a_link_is_in_the_database(mailing: Site, server: MailServer) -> None:
    confirmed(mailing, server)
    mailing.visitor().post("/forgot", {"address": ADA})
    post_all(mailing)
    secrets = [link_of(mail).split("token=")[1].encode() for mail in server.taken]
    assert len(secrets) == 2
    folder = mailing.settings.data_dir
    content = b"".join(path.read_bytes() for path in folder.glob("heldout.db*"))
    assert not any(secret in content for secret in secrets)


def test_an_unconfirmed_address_gets_no_link_for_a_password(mailing: Site, server: MailServer) -> None:
    set_address(mailing)
    mailing.visitor().post("/forgot", {"address": ADA})
    post_all(mailing)
    assert [mail["Subject"] for mail in server.taken] == ["Confirm your e-mail address"]


def test_a_new_address_takes_the_place_of_the_confirmed_one_only_when_it_is_confirmed(
    mailing: Site, server: MailServer
) -> None:
    confirmed(mailing, server)
    mailing.visitor().post("/forgot", {"address": ADA})
    post_all(mailing)
    secret = link_of(server.to(ADA)[-1]).split("token=")[1]
    assert set_address(mailing, address="ada@new.example") == 303
    assert mailing.visitor().get(f"/reset?token={secret}").status_code == 200
    post_all(mailing)
    token = link_of(server.to("ada@new.example")[-1]).split("token=")[1]
    assert mailing.visitor().post("/account/mail/confirm", {"token": token}).status_code == 303
    assert mailing.visitor().get(f"/reset?token={secret}").status_code == 404
    mailing.visitor().post("/forgot", {"address": ADA})
    assert post_all(mailing) == 0, "the former address"


def test_removing_the_address_needs_the_password(mailing: Site, server: MailServer) -> None:
    confirmed(mailing, server)
    ada = mailing.browser("ada")
    assert ada.post("/account/mail/remove", {"current": "wrong"}).status_code == 422
    assert ADA in ada.get("/account").text
    assert ada.post("/account/mail/remove", {"current": PASSWORD}).status_code == 303
    assert ADA not in ada.get("/account").text


def test_a_late_attempt_does_not_change_what_a_newer_one_noted(mailing: Site) -> None:
    set_address(mailing)
    with mailing.database.begin() as session:
        first = outbox.claim(session, now=db.now(session))
        assert first is not None
        id_ = first.id
    later(mailing, minutes=4)
    with mailing.database.begin() as session:
        now = db.now(session)
        outbox.claim(session, now=now)
        outbox.end(session, id_, 2, fault=None, now=now)
        outbox.put_back(session, id_, 1, fault="late", now=now)
    assert waiting(mailing) == 0


def test_requests_for_links_are_limited_by_address_and_say_nothing_about_accounts(mailing: Site) -> None:
    answers = [
        [mailing.visitor().post("/forgot", {"address": address}).status_code for _ in range(4)]
        for address in ("first@uni.example", "second@uni.example")
    ]
    assert answers == [[200, 200, 200, 429]] * 2


def test_without_a_mail_server_the_page_names_the_other_ways(site: Site) -> None:
    page = site.visitor().get("/forgot")
    assert "This server sends no mail" in page.text
    assert "E-mail" not in site.browser("ada").get("/account").text
    assert set_address(site) == 404


def test_news_go_once_to_confirmed_members_that_want_them(mailing: Site, server: MailServer) -> None:
    confirmed(mailing, server)
    mailing.user("carol")
    confirmed(mailing, server, "carol", "carol@uni.example")  # no member of the competition
    server.taken.clear()
    mailing.announce("A wrong label", "Rows are **corrected**.")
    mailing.announce("Tomorrow", hours=24)
    number = mailing.ask("ada", "Which rows?", "Words.", is_public=False)
    with mailing.database.begin() as session:
        competition = competitions.by_slug(session, mailing.slug)
        questions.answer(session, competition, number, "The secret answer.", by="grace", now=db.now(session))
    assert post_all(mailing) == 2
    assert post_all(mailing) == 0
    subjects = {mail["Subject"]: mail for mail in server.to(ADA)}
    assert set(subjects) == {"A wrong label (Biopsy triage)", "Your question was answered (Biopsy triage)"}
    assert "Rows are **corrected**." in subjects["A wrong label (Biopsy triage)"].get_content()
    assert "secret answer" not in "".join(mail.get_content() for mail in server.taken)
    assert server.to("carol@uni.example") == []
    choice = mailing.browser("ada").post("/account/mail/kinds", {"kind": "results"})
    assert choice.status_code == 303
    mailing.announce("Another")
    assert post_all(mailing) == 0


def test_results_are_announced_when_they_are_final_and_hold_no_score(
    mailing: Site, server: MailServer
) -> None:
    confirmed(mailing, server)
    server.taken.clear()
    with mailing.database.read() as session:
        now: datetime = db.now(session)
    mailing.change(closes_at=now - timedelta(hours=2))
    assert post_all(mailing) == 1
    (mail,) = server.taken
    assert mail["Subject"] == "Final results (Biopsy triage)"
    assert not re.search(r"0\.\d", mail.get_content())


def test_links_of_news_lead_to_pages(mailing: Site, server: MailServer) -> None:
    confirmed(mailing, server)
    server.taken.clear()
    mailing.announce("Here")
    mailing.announce("To all", to_all=True)
    mailing.change(closes_at=datetime.now().astimezone() - timedelta(hours=2))
    assert post_all(mailing) == 3
    for mail in server.taken:
        for path in re.findall(rf"{URL}(/\S*[a-z])", mail.get_content()):
            assert mailing.browser("ada").get(path).status_code == 200, path


@pytest.mark.parametrize(
    ("answer", "is_final"),
    [("550 no such user", True), ("450 try again later", False), ("421 closing", False)],
)
def test_a_refused_address_is_given_up_and_a_busy_server_is_tried_again(
    mailing: Site, server: MailServer, answer: str, is_final: bool
) -> None:
    set_address(mailing)
    server.answer_to = lambda line: answer if line.upper().startswith("RCPT") else None
    assert post_all(mailing) == 0
    with mailing.database.read() as session:
        (letter,) = session.scalars(select(Letter))
        assert (letter.ended_at is not None) == is_final
        assert letter.fault is not None
        assert answer in letter.fault
    server.answer_to = lambda _line: None
    later(mailing, minutes=2)
    assert post_all(mailing) == (0 if is_final else 1)


def test_a_server_that_is_away_for_an_hour_gets_the_letter_once(mailing: Site, server: MailServer) -> None:
    set_address(mailing)
    away = mailing.with_settings(mail_port=1)
    for _ in range(4):
        assert post_all(away) == 0
        later(mailing, minutes=61)
    with mailing.database.read() as session:
        checks = {check.name: check for check in doctor.check_database(session, now=db.now(session))}
    assert checks["mail"].is_ok, "a letter is late only after an hour by the clock"
    assert post_all(mailing) == 1
    assert len(server.taken) == 1


def test_a_letter_is_given_up_after_eight_attempts_and_the_doctor_reports_it(mailing: Site) -> None:
    set_address(mailing)
    away = mailing.with_settings(mail_port=1)
    for _ in range(len(outbox.PAUSES) + 1):
        assert post_all(away) == 0
        later(mailing, hours=13)
    with mailing.database.read() as session:
        (letter,) = session.scalars(select(Letter))
        assert (letter.attempts, letter.ended_at is not None) == (8, True)
        checks = {check.name: check for check in doctor.check_database(session, now=db.now(session))}
    assert not checks["mail"].is_ok
    assert "ConnectionRefusedError" in checks["mail"].words


def variables(settings: Settings) -> dict[str, str]:
    names = ("public_url", "mail_host", "mail_port", "mail_security", "mail_from", "data_dir")
    own = {f"HELDOUT_{name.upper()}": str(getattr(settings, name)) for name in names}
    return own | {"HELDOUT_DATABASE_URL": settings.database, "HELDOUT_REDIS_URL": "none"}


def test_the_sweeper_sends_letters_and_goes_on_while_the_server_hangs(
    mailing: Site, server: MailServer
) -> None:
    hanging = threading.Event()

    def hang(_line: str) -> None:
        hanging.wait(20)

    server.answer_to = hang
    command = [sys.executable, "-c", SWEEPER]
    with subprocess.Popen(command, env=os.environ | variables(mailing.settings)) as sweeper:
        try:
            set_address(mailing)
            eventually(lambda: server.commands, 30, what="the server to be asked")
            with mailing.database.begin() as session:
                session.execute(delete(Heartbeat))
            eventually(lambda: beats(mailing), 10, what="the next sweep")
            assert server.taken == []
            hanging.set()
            eventually(lambda: server.taken, 30, what="the letter")
            eventually(lambda: not waiting(mailing), 10, what="the note that it was sent")
        finally:
            sweeper.terminate()
        assert sweeper.wait(20) == 0


SWEEPER = """
from app.base import config, db, queue
from worker import postman, sweeper
from worker.stopping import Stop
settings, stop = config.load(), Stop()
database = db.open_(settings)
stop.listen()
postman.start(settings, database, stop)
sweeper.run(settings, database, queue.open_(settings), stop)
"""
"""As `python -m worker.sweeper`, on tables that no revision has made."""


def beats(site: Site) -> int:
    with site.database.read() as session:
        return session.scalar(select(func.count()).select_from(Heartbeat)) or 0


def waiting(site: Site) -> int:
    with site.database.read() as session:
        return outbox.counts(session, now=db.now(session))[0]


def test_a_letter_goes_over_tls_and_never_to_a_server_whose_certificate_is_not_trusted(
    mailing: Site, certificate: tuple[str, str]
) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*certificate)
    set_address(mailing)
    with mail_server(serving) as encrypted:
        site = mailing.with_settings(mail_port=encrypted.port, mail_security="starttls")
        assert post_all(site) == 0
        assert encrypted.taken == []
        later(site, minutes=2)
        trusting = ssl.create_default_context(cafile=certificate[0])
        assert postman.post_all(site.settings, site.database, context=trusting) == 1
        assert "STARTTLS" in encrypted.commands


SENDER = """
import sys, os
from pathlib import Path
from app.base import config, db
from worker import postman
settings = config.load()
Path(sys.argv[1]).write_text(str(os.getpid()))
postman.post_all(settings, db.open_(settings))
"""


def test_a_sender_killed_after_the_server_took_the_letter_sends_it_again_as_the_same(
    mailing: Site, server: MailServer, tmp_path: Path
) -> None:
    set_address(mailing)
    settings = mailing.settings
    environment = os.environ | variables(settings)
    file = tmp_path / "pid"
    server.before_data_ends = lambda _mail: os.kill(int(file.read_text()), signal.SIGKILL)
    killed = subprocess.run(
        [sys.executable, "-c", SENDER, str(file)], env=environment, timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    server.before_data_ends = lambda _mail: None
    assert post_all(mailing) == 0, "the claim of the dead one lasts"
    later(mailing, minutes=4)
    assert post_all(mailing) == 1
    first, second = server.taken
    assert first["Message-ID"] == second["Message-ID"]
    assert link_of(first) == link_of(second)


def test_two_senders_send_a_letter_once(mailing: Site, server: MailServer) -> None:
    with mailing.database.begin() as session:
        now = db.now(session)
        session.add(
            MailAddress(user_id=mailing.viewer("ada").id, address=ADA, kinds=[], set_at=now, confirmed_at=now)
        )
        outbox.write(session, mailing.viewer("ada").id, addresses.Kind.PASSWORD, "x", now=now)
    with mailing.database.begin() as session:
        first = outbox.claim(session, now=db.now(session))
    with mailing.database.begin() as session:
        second = outbox.claim(session, now=db.now(session))
    assert (first is None, second is None) == (False, True)


def test_erasing_the_account_deletes_address_letters_and_links(mailing: Site, server: MailServer) -> None:
    confirmed(mailing, server)
    mailing.visitor().post("/forgot", {"address": ADA})
    data = mailing.browser("ada").get("/account/data.json").json
    assert data is not None
    assert data["mail"]["address"] == ADA
    with mailing.database.begin() as session:
        erasure.erase(session, accounts.by_name(session, "ada"), now=db.now(session))
        for table in (Letter, MailAddress, PasswordLink):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_no_line_of_a_title_becomes_a_header(mailing: Site, server: MailServer) -> None:
    with pytest.raises(ValueError, match="linefeed"):
        smtp.message(mailing.settings, Composed(ADA, "Hello\nBcc: eve@evil.example", "Words"), key="1")


def test_the_command_sends_a_test_letter_and_states_the_servers_reason(
    mailing: Site, server: MailServer
) -> None:
    run = CliRunner().invoke(mail_group, ["test", ADA], obj=Installation(mailing.settings))
    assert run.exit_code == 0, run.output
    assert server.to(ADA)[0]["Subject"] == "Test letter"
    server.answer_to = lambda line: "535 unknown user" if line.upper().startswith("MAIL") else None
    run = CliRunner().invoke(mail_group, ["test", ADA], obj=Installation(mailing.settings))
    assert "535 unknown user" in str(run.exception)


def test_settings_of_mail_that_cannot_work_are_refused_together() -> None:
    with pytest.raises(Misconfigured) as refused:
        config.load(
            {"HELDOUT_MAIL_HOST": "mail.example", "HELDOUT_MAIL_SECURITY": "ssl", "HELDOUT_MAIL_USER": "me"}
        )
    words = str(refused.value)
    for name in ("PUBLIC_URL", "MAIL_SECURITY", "MAIL_FROM", "MAIL_USER"):
        assert f"HELDOUT_{name}" in words
    assert Settings().sends_mail is False
