"""A real SMTP server for tests: it keeps every message in a file and fails when its recipient's name says so.

It listens on a free port of 127.0.0.1, prints `127.0.0.1:PORT` as its first line and runs until SIGTERM. Each message
it accepted is one line of JSON in the mailbox file, written before the sender is answered, so whoever was told `250`
finds it there:

    rcpt      the envelope's one recipient (a message to several becomes several lines)
    sender    the envelope's sender
    headers   decoded headers by lower-case name; of a name that occurs twice, all values, a newline between them
    text      the decoded text/plain part, or ""
    raw       the message as it came over the wire

How the name before the `@` begins decides the answer:

    bounce-NNN    RCPT TO is answered NNN: bounce-550 is unknown for good, bounce-451 is busy for now
    refuse-NNN    the message itself is answered NNN, after it was sent
    greylist      the first RCPT TO of an address is answered 451, every later one is accepted
    421           RCPT TO is answered 421 and the connection is closed
    cut           the connection is closed at RCPT TO, without a word: nothing was accepted
    drop          the message is kept, but the connection is closed before its 250: the sender cannot know

Anyone else's mail is accepted. There is no TLS and no login: this server only ever speaks to its own machine.
"""

import argparse
import asyncio
import email
import email.policy
import json
import re
import signal
import sys

from aiosmtpd.smtp import SMTP

# What a scripted code says beside its number; the enhanced code (RFC 3463) follows its first digit and meaning.
REPLIES = {
    "421": "421 4.3.2 Closing for now",
    "450": "450 4.2.1 Mailbox busy",
    "451": "451 4.3.0 Try again later",
    "452": "452 4.2.2 Mailbox full for now",
    "550": "550 5.1.1 No such mailbox",
    "551": "551 5.1.6 Mailbox has moved",
    "552": "552 5.2.2 Mailbox full",
    "553": "553 5.1.3 Bad mailbox name",
    "554": "554 5.7.1 Refused by policy",
}


def scripted_reply(code):
    """The reply line for a three-digit code, whether or not it has words of its own."""
    return REPLIES.get(code, f"{code} {code[0]}.0.0 As the test asked")


def as_record(rcpt, envelope):
    """One line of the mailbox, without its newline."""
    message = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
    headers = {}
    for name, value in message.items():
        headers.setdefault(name.lower(), []).append(str(value))
    body = message.get_body(preferencelist=("plain",))
    return json.dumps(
        {
            "rcpt": rcpt,
            "sender": envelope.mail_from,
            "headers": {name: "\n".join(values) for name, values in headers.items()},
            "text": body.get_content() if body is not None else "",
            "raw": envelope.original_content.decode("utf-8", errors="replace"),
        }
    )


class Script:
    """Answers as the recipient's name asks and remembers who was greylisted."""

    def __init__(self, mailbox):
        self.mailbox = mailbox
        self.greylisted = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        local_part = address.rpartition("@")[0]
        if found := re.match(r"bounce-(\d{3})", local_part):
            return scripted_reply(found[1])
        if local_part.startswith("greylist") and address not in self.greylisted:
            self.greylisted.add(address)
            return "451 4.7.1 Greylisted, try again later"
        if local_part.startswith("421"):
            # Closing waits for one turn of the loop, so that the reply leaves first.
            asyncio.get_running_loop().call_soon(server.transport.close)
            return scripted_reply("421")
        if local_part.startswith("cut"):
            server.transport.abort()
            return scripted_reply("421")
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Known here"

    async def handle_DATA(self, server, session, envelope):
        local_parts = [address.rpartition("@")[0] for address in envelope.rcpt_tos]
        for local_part in local_parts:
            if found := re.match(r"refuse-(\d{3})", local_part):
                return scripted_reply(found[1])
        for rcpt in envelope.rcpt_tos:
            self.mailbox.write(as_record(rcpt, envelope) + "\n")
        self.mailbox.flush()
        if any(local_part.startswith("drop") for local_part in local_parts):
            server.transport.abort()
        return "250 2.0.0 Kept"


async def serve(mailbox):
    """Listens until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    script = Script(mailbox)

    def connection():
        return SMTP(script, hostname="mail.test", ident="test mailbox", enable_SMTPUTF8=True, loop=loop)

    listener = await loop.create_server(connection, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    print(f"{host}:{port}", flush=True)
    await stopped.wait()
    listener.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mailbox", help="file that accepted messages are appended to")
    with open(parser.parse_args().mailbox, "a", encoding="utf-8") as mailbox:
        asyncio.run(serve(mailbox))


if __name__ == "__main__":
    sys.exit(main())
