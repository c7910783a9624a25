"""Send a letter through the operator's mail server."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from urllib.parse import urlsplit

from app.base.config import Settings
from app.delivery.letters import Composed

SECONDS = 15.0
"""Longest wait for one answer of the server."""


class NotSent(Exception):
    """The server did not take the letter; the text is its reason."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final
        """Whether another attempt is useless: the server refuses this address."""


def message(settings: Settings, letter: Composed, *, key: str) -> EmailMessage:
    """Return the mail. The same key gives the same Message-ID, by which a repeated one is recognised."""
    mail = EmailMessage()
    mail["From"] = settings.mail_from
    mail["To"] = letter.to
    mail["Subject"] = letter.subject
    mail["Date"] = formatdate(localtime=False)
    host = urlsplit(settings.public_url).hostname or "localhost"
    mail["Message-ID"] = f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{host}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["List-Unsubscribe"] = f"<{settings.public_url.rstrip('/')}/account>"
    mail.set_content(letter.text)
    return mail


def send(settings: Settings, letter: Composed, *, key: str, context: ssl.SSLContext | None = None) -> None:
    """Give a letter to the mail server; raises NotSent."""
    mail = message(settings, letter, key=key)
    sender = parseaddr(settings.mail_from)[1]
    try:
        with _connected(settings, context) as server:
            server.send_message(mail, from_addr=sender, to_addrs=[letter.to])
    except smtplib.SMTPRecipientsRefused as refused:
        code, words = next(iter(refused.recipients.values()))
        raise NotSent(f"{code} {_text(words)}", is_final=500 <= code < 600) from None
    except smtplib.SMTPResponseException as answer:
        reason = f"{answer.smtp_code} {_text(answer.smtp_error)}"
        raise NotSent(
            reason, is_final=isinstance(answer, smtplib.SMTPDataError) and answer.smtp_code >= 500
        ) from None
    except (smtplib.SMTPException, OSError) as away:  # an ssl.SSLError is an OSError
        raise NotSent(f"{type(away).__name__}: {away}") from None


def check(settings: Settings, *, context: ssl.SSLContext | None = None) -> None:
    """Connect and sign in as for a letter, and send none; raises NotSent."""
    try:
        with _connected(settings, context) as server:
            server.noop()
    except (smtplib.SMTPException, OSError) as away:
        raise NotSent(f"{type(away).__name__}: {away}") from None


def _connected(settings: Settings, context: ssl.SSLContext | None) -> smtplib.SMTP:
    context = context or ssl.create_default_context()
    server: smtplib.SMTP
    if settings.mail_security == "tls":
        server = smtplib.SMTP_SSL(settings.mail_host, settings.mail_port, timeout=SECONDS, context=context)
    else:
        server = smtplib.SMTP(settings.mail_host, settings.mail_port, timeout=SECONDS)
    try:
        if settings.mail_security == "starttls":
            server.starttls(context=context)
        if settings.mail_user:
            server.login(settings.mail_user, settings.mail_password)
    except BaseException:
        server.close()
        raise
    return server


def _text(words: bytes | str) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else words
