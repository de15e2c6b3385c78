"""SIP messages that lie, for sip_hostile_test.py, and a few that do not."""

import contextlib
import random
import socket

from sip_world import LEG, NET, message

CALLEE = f"{NET}.77"


@contextlib.contextmanager
def callee():
    """Somebody where the messages point to who hears all and says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((CALLEE, 5060))
        yield sock


def ping(call_id: str, transport: str) -> bytes:
    return message(f"OPTIONS sip:{LEG} SIP/2.0", [
        f"Via: SIP/2.0/{transport} {NET}.67;branch=z9hG4bK{call_id};rport",
        "Max-Forwards: 70", "From: <sip:a@example.com>;tag=1",
        f"To: <sip:{LEG}>", f"Call-ID: {call_id}", "CSeq: 1 OPTIONS"])


SDP = (b"v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\n"
       b"t=0 0\r\nm=audio 4000 RTP/AVP 0\r\n")
VIA = f"Via: SIP/2.0/UDP {NET}.66;branch=z9hG4bK1;rport"


def invite(*more: str, via=(VIA,), uri: str = f"sip:bob@{CALLEE}",
           body: bytes = SDP) -> bytes:
    return message(f"INVITE {uri} SIP/2.0", [
        *via, "Max-Forwards: 70", "From: \"A\" <sip:a@example.com>;tag=1",
        f"To: <sip:bob@{CALLEE}>", "Call-ID: bad@example.com",
        "CSeq: 1 INVITE", f"Contact: <sip:a@{NET}.66>",
        "Content-Type: application/sdp", *more], body)


def response(*more: str) -> bytes:
    return message("SIP/2.0 200 OK", [
        f"Via: SIP/2.0/UDP {LEG};branch=z9hG4bKs00" + "0" * 48, VIA,
        "From: <sip:a@example.com>;tag=1", "To: <sip:b@example.com>;tag=2",
        "Call-ID: bad@example.com", "CSeq: 1 INVITE", *more])


def too_many():
    for count in 100, 255, 256, 257, 1000, 10_000:
        yield invite(*(f"X: {i % 10}" for i in range(count)))
        yield invite(*("a: b",) * count)
        yield invite("Route: " + ",".join(["<sip:x>"] * count))
        yield invite("Contact: " + ",".join(["<sip:x>"] * min(count, 6000)))
        yield invite("Accept: a" + ";b=c" * count)
        yield invite("Subject: a" + "\r\n b" * count)
    for count in 2, 69, 70, 71, 1000:
        yield invite(via=[VIA] * count)
        yield invite(via=[VIA + f",SIP/2.0/UDP {NET}.66" * count])
        yield invite(via=[VIA + ";x=y" * count])
        yield response(*[VIA] * count)
    for length in 1000, 60_000:
        text = "x" * length
        yield invite(f"{text}: y")
        yield invite(f"Subject: {text}")
        yield invite(f"Contact: <sip:{text}@{CALLEE}>")
        yield invite(uri=f"sip:{text}@{CALLEE}")
        yield invite(uri=f"sip:bob@{CALLEE};{text}")
        yield invite(f"Contact: \"{text}")
        yield invite("Subject: " + "(" * length)
        yield text.encode()
    for count in 33, 500, 3000:
        media = b"m=audio 4000 RTP/AVP 0\r\n" * min(count, 2000)
        yield invite(body=SDP + media)
        yield invite(body=SDP + b"a=x\r\n" * count)
        parts = b"--b\r\n\r\nx\r\n" * count + b"--b--"
        yield invite("Content-Type: multipart/mixed;boundary=b", body=parts)


def lying_lengths():
    whole = invite()
    for said in ("65535", "65536", "65537", "4294967295", "4294967296",
                 str(2**32 + len(SDP)), "18446744073709551616", "9" * 400, "-1",
                 "+1", "0x10", "1 2", "1,1", "", "1;x", str(len(SDP) + 1), "0"):
        yield whole.replace(b"Content-Length: %d" % len(SDP),
                            b"Content-Length: " + said.encode())
        yield whole.replace(b"Content-Length:", b"l: " + said.encode() +
                            b"\r\nContent-Length:")


def control_octets():
    for octets in b"\0", b"\r", b"\n", b"\x0b", b"\x1b]0;x\x07", b"\xff\xfe":
        yield invite().replace(b"bad@", b"bad" + octets + b"@")
        yield invite().replace(b"Max-", b"Max" + octets + b"-")
        yield invite().replace(b"sip:bob", b"sip:bob" + octets, 1)
        yield response().replace(b"SIP/2.0 200", b"SIP/2.0" + octets + b"200")


def bad_messages(seed: int) -> list[bytes]:
    """Most are no good; some are, and are forwarded or answered. Each fits into
    a datagram."""
    dice = random.Random(seed)
    cases = [*too_many(), *lying_lengths(), *control_octets()]
    for whole in invite(), response():
        cases += [whole[:n] for n in range(1, len(whole))]
        for _ in range(200):
            broken = bytearray(whole)
            for _ in range(dice.choice((1, 1, 3, 30))):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            cases.append(bytes(broken))
    for size in (13, 100, 1000, 10_000, 60_000) * 10:
        cases.append(dice.randbytes(size))
        cases.append(b"INVITE sip:x SIP/2.0\r\nVia: " + dice.randbytes(size))
        cases.append(b"SIP/2.0 200 OK\r\n" + dice.randbytes(size))
    return [octets for octets in cases if len(octets) <= 65_507]
