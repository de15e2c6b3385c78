#!/usr/bin/env python3
"""sip_crash_test.py BUILD [CASE...]: the registrar is killed and comes back.

Goal: whoever was told that he is registered stays so, whatever becomes of the
process; and a big database does not keep it from coming up.
Method: phones register, move and leave at a steady rate, the daemon is killed
in the middle and started again on the same files; what it then says of each
phone has to be what it has answered last, or what was under way after it."""

import contextlib
import pathlib
import random
import select
import socket
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import sip_world  # noqa: E402
from sip_world import (LEG, NET, SEED, UDP_PORT, Daemon, message,  # noqa: E402
                       wait_for)

BUILD = pathlib.Path()
RATE = 2000  # REGISTERs a second
USERS = 3000
KILLS = 3
BINDINGS = 100_000
PHONES = f"{NET}.50"

CONFIG = f"""
[sip]
domains = ["example.com"]
key_file = "{{folder}}/sip.key"
[[sip.leg]]
trusted = true
listen = ["udp:{LEG}:{UDP_PORT}"]
[sip.registrar]
database = "{{folder}}/location.db"
max_expires_s = 3600
"""


class Phones:
    """USERS phones behind one socket. Each REGISTER of a phone has another
    contact than the one before, or none: its CSeq is in the contact's name."""

    def __init__(self, dice: random.Random):
        self.dice = dice
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.sock.bind((PHONES, 0))
        self.sock.setblocking(False)
        self.port = self.sock.getsockname()[1]
        # By phone: what it has said, by CSeq - true for a contact, false for
        # its removal - and the last CSeq of which it was told that it is so.
        self.said = [{} for _ in range(USERS)]
        self.told = [0] * USERS
        self.sent = self.answered = 0

    def say(self, phone: int) -> None:
        cseq = max(self.said[phone], default=0) + 1
        stays = self.dice.random() < 0.8
        self.said[phone][cseq] = stays
        # The instance makes a new contact take the place of the old.
        contact = (f"Contact: <sip:u{phone}-{cseq}@{PHONES}:{self.port}>;"
                   f"+sip.instance=\"<urn:uuid:{phone}>\";reg-id=1;"
                   f"expires={3600 if stays else 0}")
        self.sock.sendto(message("REGISTER sip:example.com SIP/2.0", [
            f"Via: SIP/2.0/UDP {PHONES}:{self.port};branch=z9hG4bK{phone}."
            f"{cseq}", "Max-Forwards: 70",
            f"From: <sip:u{phone}@example.com>;tag=1",
            f"To: <sip:u{phone}@example.com>", f"Call-ID: {phone}",
            f"CSeq: {cseq} REGISTER", contact]), (LEG, UDP_PORT))
        self.sent += 1

    def listen(self, wait_s: float) -> int:
        """The answers that are there, soonest after `wait_s` none; how many."""
        heard = 0
        while select.select([self.sock], [], [], 0 if heard else wait_s)[0]:
            # The one who is not there any more is told by the kernel.
            with contextlib.suppress(ConnectionRefusedError):
                octets = self.sock.recv(65536)
                assert octets.startswith(b"SIP/2.0 200 "), octets
                phone = int(sip_world.value_of(octets, "Call-ID"))
                cseq = int(sip_world.value_of(octets, "CSeq").split()[0])
                self.told[phone] = max(self.told[phone], cseq)
                heard += 1
        self.answered += heard
        return heard

    def has_heard(self, answers: int) -> bool:
        self.listen(0.05)
        return self.answered >= answers

    def know_all(self) -> bool:
        self.listen(0.05)
        return all(told == max(said, default=0)
                   for told, said in zip(self.told, self.said))

    def talk(self, seconds: float) -> None:
        """At the rate, whatever is answered."""
        begun, count = time.monotonic(), 0
        while (now := time.monotonic() - begun) < seconds:
            while count < now * RATE:
                self.say(self.dice.randrange(USERS))
                count += 1
            self.listen(0.001)

    def close(self) -> None:
        self.sock.close()


def bindings_of(d: Daemon) -> dict[str, list[str]]:
    """The contacts by user, as the daemon tells."""
    found = {}
    page = d.ask("registrations", "--limit", 1_000_000)
    assert len(page["registrations"]) == page["total"], page["total"]
    for one in page["registrations"]:
        found.setdefault(one["aor"], []).append(one["contact"])
    return found


class Killed(unittest.TestCase):
    def check(self, d: Daemon, phones: Phones) -> int:
        """Every phone is where it was told, or where it has gone since."""
        found = bindings_of(d)
        checked = 0
        for phone in range(USERS):
            contacts = found.pop(f"sip:u{phone}@example.com", [])
            said, told = phones.said[phone], phones.told[phone]
            may_be = {cseq for cseq in said if cseq >= told} | {told}
            if contacts:
                self.assertEqual(len(contacts), 1, contacts)
                cseq = int(contacts[0].split("@")[0].rsplit("-", 1)[1])
                self.assertIn(cseq, may_be, (phone, told, said))
                self.assertTrue(said[cseq], (phone, contacts))
            else:
                # Removed, or never there.
                self.assertTrue(
                    any(not said.get(cseq, False) for cseq in may_be),
                    f"u{phone} is lost: told {told} of {said}")
            checked += told > 0
        self.assertEqual(found, {})
        return checked

    def test_in_the_middle_it_loses_nobody_who_was_answered(self):
        dice = random.Random(SEED)
        up_s = []
        with Daemon(BUILD, CONFIG) as d, contextlib.closing(
                Phones(dice)) as phones:
            for _ in range(KILLS):
                phones.talk(dice.uniform(0.7, 1.3))
                # Not before there is something to lose.
                wait_for(lambda: phones.has_heard(500), "answers")
                # Whatever the machine does, some are under way.
                for _ in range(dice.randrange(20, 200)):
                    phones.say(dice.randrange(USERS))
                d.kill()
                phones.listen(0.1)
                up_s.append(d.start())
                checked = self.check(d, phones)
                print(f"  {phones.sent} REGISTERs, {phones.answered} answered "
                      f"until it was killed; of {checked} phones each is where "
                      f"it was told; ready in {up_s[-1]:.2f} s")
            # Nobody is late whose words were lost: his next REGISTER counts.
            for first in range(0, USERS, 100):
                until = phones.answered + 100
                for phone in range(first, first + 100):
                    phones.say(phone)
                wait_for(lambda: phones.has_heard(until), "all are answered")
            self.check(d, phones)
            self.assertEqual(d.leg()["counters"]["send_failures"], 0)
        print(f"  seed {SEED}; ready again after: "
              f"{', '.join(f'{s:.2f}' for s in up_s)} s")


class ABigDatabase(unittest.TestCase):
    def fill(self, path: pathlib.Path) -> None:
        """In the daemon's own tables, after its own fashion."""
        now = int(time.time())
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            (row,) = database.execute("SELECT * FROM bindings").fetchall()
            names = [column[1] for column in
                     database.execute("PRAGMA table_info(bindings)")]
            sample = dict(zip(names, row))
            self.assertEqual(sample["aor"], "sip:u0@example.com")
            self.assertGreater(sample["expires_at"], now)

            def rows():
                for i in range(1, BINDINGS):
                    yield tuple((sample | {
                        "aor": f"sip:u{i}@example.com",
                        "contact": f"sip:u{i}-1@{PHONES}:5060",
                        "instance": f"<urn:uuid:{i}>",
                        "call_id": str(i)}).values())
            database.executemany(
                f"INSERT INTO bindings VALUES({','.join('?' * len(names))})",
                rows())

    def test_does_not_keep_it_from_coming_up(self):
        with Daemon(BUILD, CONFIG) as d, contextlib.closing(
                Phones(random.Random(1))) as phones:
            while not phones.said[0].get(phones.told[0], False):
                phones.say(0)
                wait_for(phones.know_all, "an answer")
            d.stop()
            empty_s = min(self.restart(d) for _ in range(3))
            self.fill(d.folder / "location.db")
            full_s = [self.restart(d) for _ in range(3)]
            d.start()
            page = d.ask("registrations", "--limit", 1)
            self.assertEqual(page["total"], BINDINGS)
            last = f"sip:u{BINDINGS - 1}@example.com"
            (one,) = d.ask("registrations", last)["registrations"]
            self.assertEqual(one["contact"],
                             f"sip:u{BINDINGS - 1}-1@{PHONES}:5060")
            self.assertEqual(one["leg"], "default")
            print(f"  {BINDINGS} bindings: ready in "
                  f"{', '.join(f'{s:.2f}' for s in full_s)} s, with one in "
                  f"{empty_s:.2f} s; {d.now_kib()} KiB of memory")

    @staticmethod
    def restart(d: Daemon) -> float:
        took = d.start()
        d.stop()
        return took


def set_build(build: pathlib.Path) -> None:
    global BUILD
    BUILD = build


if __name__ == "__main__":
    sys.exit(sip_world.run_tests(__name__, __doc__, set_build))
