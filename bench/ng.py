"""As much of rtpengine's ng protocol as it takes to set calls up and end them:
UDP, bencode, offer, answer, delete."""

import itertools
import re
import socket


class NgError(Exception):
    pass


def encode(value) -> bytes:
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(encode(v) for v in value) + b"e"
    if isinstance(value, dict):
        return b"d" + b"".join(encode(k) + encode(v)
                               for k, v in sorted(value.items())) + b"e"
    raise TypeError(type(value))


def decode(data: bytes):
    value, end = _decode(data, 0)
    if end != len(data):
        raise NgError("octets behind the reply")
    return value


def _decode(data: bytes, at: int):
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at:at + 1] != b"e":
            item, at = _decode(data, at)
            items.append(item)
        if kind == b"l":
            return items, at + 1
        return dict(zip(items[::2], items[1::2])), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1:end].decode("utf-8", "replace"), end


def sdp(ip: str, port: int) -> str:
    return ("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n"
            "m=audio %d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
            % (ip, ip, port))


def media_address(body: str) -> tuple[str, int]:
    connection = re.search(r"^c=IN IP4 (\S+)", body, re.M)
    media = re.search(r"^m=audio (\d+)", body, re.M)
    if not connection or not media or int(media[1]) == 0:
        raise NgError(f"no media address in {body!r}")
    return connection[1], int(media[1])


class Client:
    TIMEOUT_S = 1
    TRIES = 5

    def __init__(self, port: int):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(self.TIMEOUT_S)
        self._cookies = itertools.count(1)

    def close(self):
        self._socket.close()

    def ask(self, command: str, **arguments) -> dict:
        cookie = b"compare_%d" % next(self._cookies)
        request = {k.replace("_", "-"): v for k, v in arguments.items()}
        frame = cookie + b" " + encode({"command": command, **request})
        for _ in range(self.TRIES):
            try:
                self._socket.send(frame)
                reply = self._socket.recv(65536)
            except (TimeoutError, ConnectionRefusedError):
                continue
            if not reply.startswith(cookie + b" "):
                continue
            answer = decode(reply[len(cookie) + 1:])
            if answer.get("result") not in ("ok", "pong"):
                raise NgError(f"{command}: {answer}")
            return answer
        raise NgError(f"{command}: no answer")

    def call(self, number: int, caller: tuple[str, int],
             callee: tuple[str, int]) -> tuple[tuple[str, int],
                                               tuple[str, int]]:
        """Sets a call up. What the caller and the callee are to send to."""
        common = {"call_id": f"compare-{number}", "from_tag": f"a{number}",
                  "ICE": "remove", "flags": ["trust-address"],
                  "replace": ["origin", "session-connection"]}
        offer = self.ask("offer", sdp=sdp(*caller), **common)
        answer = self.ask("answer", sdp=sdp(*callee), to_tag=f"b{number}",
                          **common)
        return media_address(answer["sdp"]), media_address(offer["sdp"])
