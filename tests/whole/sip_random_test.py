#!/usr/bin/env python3
"""sip_random_test.py BUILD [CASE...]: calls of random shape leave nothing.

Goal: however a call goes - answered, refused, cancelled, forked, offered anew,
held, half of it lost, its BYE never sent - its ports come back, and of all
calls no session, socket, descriptor or memory is left.
Method: two phones call each other through a sluiced with two legs, which takes
all media through the relay; calls begin at a rate, whatever becomes of those
before them. SLUICE_CALLS is how many, SLUICE_SEED which."""

import asyncio
import collections
import os
import pathlib
import re
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import sip_world  # noqa: E402
from sip_calls import Call, Message, Party, Phone  # noqa: E402
from sip_offers import Sdp, answer_to  # noqa: E402
from sip_world import LEG, NET, SEED, Daemon, books, wait_for  # noqa: E402

BUILD = pathlib.Path()
CALLS = int(os.environ.get("SLUICE_CALLS", 2000))
CALLS_PER_S = 250
# A machine that is busy with others is not buried, too; and the relay has ports
# for so many.
IN_FLIGHT_MAX = 300
INSIDE = f"{NET}.101"
ALICE, BOB = f"{NET}.51", f"{NET}.52"
PEAK_GROWTH_KIB_MAX = 64 * 1024

CONFIG = f"""
[sip]
key_file = "{{folder}}/sip.key"
[[sip.leg]]
name = "outside"
trusted = true
listen = ["udp:{LEG}:5060"]
domains = ["{ALICE}"]
chain = ["proxy"]
[[sip.leg]]
name = "inside"
trusted = true
listen = ["udp:{INSIDE}:5060"]
domains = ["{BOB}"]
chain = ["proxy"]
"""
# A call without media is over soon, but not while a busy machine keeps us from
# sending any.
RELAY = "active_timeout_s = 6\nunused_timeout_s = 8\nclosed_timeout_s = 1\n"


# ---- scripts ---------------------------------------------------------------

class Refused(Exception):
    """By the proxy, or on purpose: the call ends here."""


class Script(Call):
    async def run(self) -> str:
        """What became of it."""
        self.offer, self.answers = Sdp(self.dice, ALICE), {}
        self.delayed = self.dice.random() < 0.1
        end = self.dice.choice(("answered",) * 10 + (
            "refused",) * 4 + ("cancelled",) * 3 + (
            "forked", "forked", "silence", "given up", "unacknowledged"))
        try:
            await getattr(self, end.replace(" ", "_"))()
        except Refused as refused:
            return str(refused)
        finally:
            self.close()
        return end

    async def invite(self) -> Message:
        """As it comes out at the callee."""
        body = b"" if self.delayed else self.offer.body
        octets = self.a.request("INVITE", body, kind=self.offer.kind)
        self.branch = self.a.branch
        came = await self.bring(self.a, octets, self.b)
        assert bool(came.status) == (bool(body) and self.offer.refused), body
        if came.status:
            assert came.status == 488, came.status
            self.send(self.a, self.ack(self.a, came, self.branch))
            raise Refused("offer of the caller refused by us")
        if self.offer.plain and not self.delayed:
            self.port_for_b = self.relay_port(came)
        self.b.is_called_by(came)
        return came

    @staticmethod
    def relay_port(message: Message) -> int:
        """Where its media is to go: to the relay, or nowhere (0)."""
        assert b"\r\nc=IN IP4 127.0.0.1\r\n" in message.body, message.body
        port = int(re.search(rb"\r\nm=audio (\d+) ", message.body)[1])
        assert port == 0 or 10000 <= port <= 32767, port
        return port

    def answer(self, party: Party, offer: Message) -> bytes:
        """The same however often it is sent."""
        key = party.tag, offer.method, offer.cseq
        if key not in self.answers:
            self.answers[key] = answer_to(offer, self.dice,
                                          party.phone.address)
        return self.answers[key]

    async def ring(self, invite: Message) -> None:
        for _ in range(self.dice.randrange(3)):
            early = not self.delayed and self.dice.random() < 0.5
            body = self.answer(self.b, invite) if early else b""
            await self.bring(self.b, self.b.response(
                invite, 183 if early else 180, body), self.a)

    async def accept(self, invite: Message, callee: Party) -> Message:
        """The 200 as it comes out at the caller."""
        offer = Sdp(self.dice, BOB)
        while offer.kind != "application/sdp":
            offer = Sdp(self.dice, BOB)
        body = offer.body if self.delayed \
            else self.answer(callee, invite)
        octets = self.accepted = callee.response(invite, 200, body)
        if not (self.delayed and offer.refused):
            return await self.bring(callee, octets, self.a, callee.tag)
        # It goes no further, and its sender gives up some time.
        self.send(callee, octets)
        octets = callee.response(invite, 486)
        callee.phone.send(octets)
        answer = await self.until(
            "486", lambda phone, m: phone is self.a.phone and m.status >= 200,
            lambda: callee.phone.send(octets))
        assert answer.status == 486, answer.status
        self.send(self.a, self.ack(self.a, answer, self.branch))
        raise Refused("offer of the callee refused by us")

    async def establish(self) -> None:
        invite = await self.invite()
        await self.ring(invite)
        answer = await self.accept(invite, self.b)
        self.a.has_called(answer)
        body = self.answer(self.a, answer) if self.delayed else b""
        self.acknowledgement = self.ack(self.a, answer, "", body)
        if self.dice.random() < 0.1:
            await self.bring(self.b, self.accepted, self.a)
        if self.offer.plain and not self.delayed and self.relay_port(answer):
            sent = self.b, self.accepted
            await self.speak(self.a, self.relay_port(answer), self.b, sent)
            await self.speak(self.b, self.port_for_b, self.a, sent)

    async def answered(self) -> None:
        await self.establish()
        # A lost one may stay lost.
        if self.dice.random() < 0.9:
            await self.bring(self.a, self.acknowledgement, self.b)
        for _ in range(self.dice.choice((0, 0, 0, 1, 1, 2, 3))):
            await self.offer_anew(*self.dice.sample((self.a, self.b), 2))
        how = self.dice.random()
        if how < 0.1:
            return  # the BYE is lost, or both have crashed
        await self.hang_up(*self.dice.sample((self.a, self.b), 2))

    async def offer_anew(self, one: Party, other: Party) -> None:
        """By a re-INVITE or an UPDATE, taken or refused."""
        method = self.dice.choice(("INVITE", "INVITE", "UPDATE"))
        offer = Sdp(self.dice, one.phone.address)
        octets = one.request(method, offer.body, kind=offer.kind)
        branch = one.branch
        came = await self.bring(one, octets, other)
        if came.status:
            answer = came
        elif self.dice.random() < 0.25:
            answer = await self.bring(other, other.response(
                came, self.dice.choice((488, 491, 500))), one)
        else:
            answer = await self.bring(other, other.response(
                came, 200, self.answer(other, came)), one)
        if method == "INVITE":
            ack = self.ack(one, answer, branch)
            if came.status:
                self.send(one, ack)
            else:
                await self.bring(one, ack, other)

    async def hang_up(self, one: Party, other: Party) -> None:
        came = await self.bring(one, one.request("BYE"), other)
        assert not came.status, came.status
        # Nobody may be there to answer.
        if self.dice.random() < 0.95:
            await self.bring(other, other.response(
                came, self.dice.choice((200, 200, 481))), one)

    async def refused(self) -> None:
        invite = await self.invite()
        await self.ring(invite)
        answer = await self.bring(self.b, self.b.response(
            invite, self.dice.choice((302, 404, 407, 486, 488, 500, 503, 600,
                                      603))), self.a)
        await self.acknowledge(answer)

    async def acknowledge(self, answer: Message) -> None:
        ack = self.ack(self.a, answer, self.branch)
        if self.dice.random() < 0.9:
            await self.bring(self.a, ack, self.b)

    async def cancelled(self) -> None:
        invite = await self.invite()
        await self.ring(invite)
        came = await self.bring(self.a, self.a.request(
            "CANCEL", cseq=invite.cseq, branch=self.branch), self.b)
        # RFC 3261 9.1: by the way of its INVITE, so under the same branch.
        assert came["via"] == invite["via"], (came["via"], invite["via"])
        await self.bring(self.b, self.b.response(came, 200), self.a)
        await self.acknowledge(await self.bring(
            self.b, self.b.response(invite, 487), self.a))

    async def forked(self) -> None:
        """Two answer, or one rings and another answers."""
        self.delayed = False
        invite = await self.invite()
        other = Party(self, self.b.phone, self.b.uri, self.b.tag + "x")
        other.is_called_by(invite)
        callees = self.dice.sample((self.b, other), 2)
        for callee in callees:
            await self.bring(callee, callee.response(
                invite, 183, self.answer(callee, invite)), self.a,
                callee.tag)
        for callee in callees[self.dice.randrange(2):]:
            answer = await self.accept(invite, callee)
            self.a.has_called(answer)
            await self.bring(self.a, self.ack(self.a, answer, ""), callee)
            if self.dice.random() < 0.9:
                await self.hang_up(*self.dice.sample((self.a, callee), 2))

    async def silence(self) -> None:
        """Nobody answers."""
        await self.invite()

    async def given_up(self) -> None:
        """It rings, and then nothing is heard of either."""
        await self.ring(await self.invite())

    async def unacknowledged(self) -> None:
        """The caller is gone when it is answered."""
        await self.establish()


# ---- tests -----------------------------------------------------------------

class RandomCalls(unittest.TestCase):
    async def all_calls(self, phones: tuple[Phone, Phone]) -> dict:
        for phone in phones:
            phone.open()
        ends = collections.Counter()
        room = asyncio.Semaphore(IN_FLIGHT_MAX)
        running = set()

        async def one(number: int) -> None:
            try:
                ends[await Script(number, SEED, phones).run()] += 1
            finally:
                room.release()
        begun = time.monotonic()
        for number in range(CALLS):
            await asyncio.sleep(begun + number / CALLS_PER_S - time.monotonic())
            await room.acquire()
            running.add(asyncio.create_task(one(number)))
            for task in [task for task in running if task.done()]:
                running.remove(task)
                task.result()  # raises what it raised
        await asyncio.gather(*running)
        for phone in phones:
            phone.close()
        return ends

    def test_leave_nothing(self):
        phones = Phone(ALICE, LEG), Phone(BOB, INSIDE)
        with Daemon(BUILD, CONFIG, RELAY) as d:
            begun = time.monotonic()
            ends = asyncio.run(self.all_calls(phones))
            took = time.monotonic() - begun
            print(f"  {CALLS} calls in {took:.1f} s (seed {SEED}), "
                  f"{sum(phone.heard for phone in phones)} messages and "
                  f"{sum(phone.packets for phone in phones)} packets heard")
            print("  " + ", ".join(f"{end} {n}" for end, n in
                                   sorted(ends.items())))
            self.assertEqual(sum(ends.values()), CALLS)
            peak = d.peak_kib() - d.peak_at_start_kib
            gone = ("calls", "sessions", "flows", "sockets")

            def is_empty() -> bool:
                status = d.ask("status")
                return not any(status[name] for name in gone)
            wait_for(is_empty, "nothing is left of them")
            status = d.ask("status")
            ports = status["ports"]
            self.assertEqual(ports["taken"], 0)
            self.assertEqual(ports["free"] + ports["quarantined"],
                             ports["total"])
            wait_for(lambda: d.fds() <= d.fds_at_start,
                     "descriptors are closed")
            numbers = d.counters()
            self.assertEqual(*books(numbers))
            for name in ("unparsable", "bad_response", "foreign_via", "forged",
                         "no_via", "no_handler", "send_failed"):
                self.assertEqual(numbers["drop " + name], 0, name)
            self.assertEqual(status["pid"], d.pid)
            self.assertGreater(status["manager"]["sessions_expired"], 0)
            print(f"  memory peak grew {peak} KiB; sessions that ran out: "
                  f"{status['manager']['sessions_expired']}, "
                  f"messages through the proxy: {books(numbers)[0]}")
            self.assertLess(peak, PEAK_GROWTH_KIB_MAX)


def set_build(build: pathlib.Path) -> None:
    global BUILD
    BUILD = build


if __name__ == "__main__":
    sys.exit(sip_world.run_tests(__name__, __doc__, set_build))
