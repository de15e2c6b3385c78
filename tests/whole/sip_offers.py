"""Session descriptions of odd shapes, for sip_random_test.py."""

import re

from sip_calls import MEDIA_PORT

SHAPES = ["plain"] * 8 + [
    "video", "hold", "hold by address", "rejected", "rtcp", "mux", "fax",
    "messages", "bare line ends", "by medium", "range", "many", "none",
    "other family", "forbidden", "wrong", "parts"]
# What no relay here can send to, or nobody can read.
REFUSED = ("other family", "forbidden", "wrong")


class Sdp:
    """One that is offered: its octets, their type, whether it is quite usual,
    and whether we do not follow it."""

    def __init__(self, dice, address: str):
        self.kind, self.plain = "application/sdp", False
        head = ["v=0", f"o=- {dice.randrange(2**62)} 1 IN IP4 {address}", "s=-"]
        line = f"c=IN IP4 {address}"
        port = dice.randrange(2000, 60000, 2)
        audio = [f"m=audio {port} RTP/AVP 0 8 101",
                 "a=rtpmap:101 telephone-event/8000"]
        shape = dice.choice(SHAPES)
        self.refused = shape in REFUSED
        end = "\r\n"
        if shape == "plain":
            self.plain = True
            audio[0] = f"m=audio {MEDIA_PORT} RTP/AVP 0 8 101"
        elif shape == "video":
            audio += [f"m=video {port + 2} RTP/AVP 96",
                      "a=rtpmap:96 H264/90000"]
        elif shape == "hold":
            audio.append(dice.choice(("a=sendonly", "a=inactive",
                                      "a=recvonly")))
        elif shape == "hold by address":
            line = "c=IN IP4 0.0.0.0"
        elif shape == "rejected":
            audio = ["m=audio 0 RTP/AVP 0", f"m=video {port} RTP/AVP 31"]
        elif shape == "rtcp":
            audio.append(f"a=rtcp:{port + 9} IN IP4 {address}")
        elif shape == "mux":
            audio += ["a=rtcp-mux", "a=ice-ufrag:x",
                      "a=candidate:1 1 UDP 1 192.0.2.1 9 typ host"]
        elif shape == "fax":
            audio = [f"m=image {port} udptl t38", "a=T38FaxVersion:0"]
        elif shape == "messages":
            audio.append(f"m=message {port} TCP/MSRP *")
        elif shape == "bare line ends":
            end = "\n"
        elif shape == "by medium":
            line, audio = "b=AS:64", [audio[0], f"c=IN IP4 {address}"]
        elif shape == "range":
            audio[0] = f"m=audio {port}/2 RTP/AVP 0"
        elif shape == "many":
            audio = [f"m=audio {port + 2 * i} RTP/AVP 0" for i in range(8)]
        elif shape == "none":
            audio = []
        elif shape == "other family":
            line = "c=IN IP6 ::1"
        elif shape == "forbidden":
            line = "c=IN IP4 224.0.0.1"
        elif shape == "wrong":
            audio = [dice.choice((
                "m=audio x RTP/AVP 0", "m=audio 70000 RTP/AVP 0", "m=audio",
                "c=IN IP4", "m=audio 4000 RTP/AVP 0\r\nc=IN IP4 999.1.1.1"))]
        self.body = end.join([*head, line, "t=0 0", *audio, ""]).encode()
        if shape == "parts":
            self.kind = "multipart/mixed;boundary=b"
            self.body = b"\r\n".join((
                b"--b", b"Content-Type: text/plain", b"", b"v=0", b"--b",
                b"Content-Type: application/sdp", b"", self.body, b"--b--",
                b""))


def answer_to(offer, dice, address: str) -> bytes:
    """To the message `offer`: as many media, some of them refused."""
    lines = re.findall(rb"^m=(\w+) (\S+) (\S+ \S+)", offer.body, re.M)
    head = (f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\n"
            "t=0 0\r\n").encode()
    for kind, port, rest in lines:
        own = 0 if port == b"0" or dice.random() < 0.1 else MEDIA_PORT
        head += b"m=%s %d %s\r\n" % (kind, own, rest)
    return head
