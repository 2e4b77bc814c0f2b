"""A mail server for tests: aiosmtpd as one JSON line on the command line wants it; what it takes is printed, a line each.

Mails are read by Python's own parser, which knows nothing of the one that wrote them.
"""

import asyncio
import email
import email.policy
import json
import logging
import ssl
import sys
import warnings

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

settings = json.loads(sys.argv[1])

# How often a busy address is still so; without a number, always.
left = settings.get("times", {})

# What clients do wrong here on purpose is no news.
warnings.simplefilter("ignore")
logging.disable()


def say(**line):
    print(json.dumps(line), flush=True)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in settings.get("refuses", []):
            return "550 5.1.1 no such user here"
        if address in settings.get("busy", []) and left.get(address, 1) > 0:
            if address in left:
                left[address] -= 1
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        say(
            sender=envelope.mail_from,
            to=envelope.rcpt_tos,
            hello=session.host_name,
            tls=session.ssl is not None,
            user=session.auth_data.login.decode() if session.auth_data else None,
            headers=[[name, str(value)] for name, value in mail.items()],
            text=mail.get_content(),
            defects=[str(defect) for defect in mail.defects],
        )
        return "250 taken"


def login(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and [data.login.decode(), data.password.decode()] == settings["login"]
    return AuthResult(success=right, handled=False, auth_data=data)


def protocol():
    needs_login = "login" in settings
    return SMTP(
        Handler(),
        hostname="mail.test",
        tls_context=context if settings.get("tls") == "starttls" else None,
        authenticator=login if needs_login else None,
        auth_required=needs_login,
        auth_require_tls=settings.get("tls") == "starttls",
        auth_exclude_mechanism=settings.get("without", []),
    )


async def main():
    implicit = context if settings.get("tls") == "always" else None
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", settings.get("port", 0), ssl=implicit)
    say(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


context = None
if "certificate" in settings:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings["certificate"], settings["key"])
asyncio.run(main())
