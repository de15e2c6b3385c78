"""A small client of the NATHelper RPC: the three verbs of Net::SIP's NATHelper
over a UNIX socket or TCP, one connection a request.

    helper = NatHelper("/run/user/1000/sluice/nathelper.sock")
    key = Key("call-1", 1, "alice", "bob")
    (addr, port, n), = helper.allocate(key, 0, "127.0.0.1",
                                       [Media("127.0.0.1", 4000)])
    helper.allocate(key, 1, "127.0.0.1", [Media("127.0.0.1", 5000)])
    helper.activate(key)          # 1 new, -1 again, None refused
    helper.close(key._replace(cseq=None))

Frames are 4 octets of length and a Storable image (network order): only what
this protocol uses of Storable is written and read here."""

import socket
import struct
from typing import NamedTuple, Optional

_HEADER = b"\x05\x0b"  # Storable 2.11, network order


class Key(NamedTuple):
    """Who talks about which offer. Ids are str or bytes."""
    call_id: "str | bytes"
    cseq: Optional[int]
    id_from: "str | bytes"
    id_to: "str | bytes"
    uri_from: "str | bytes" = "sip:from@example.com"
    uri_to: "str | bytes" = "sip:to@example.com"


class Media(NamedTuple):
    addr: str
    port: int
    range: int = 2
    media: str = "audio"
    proto: str = "RTP/AVP"


class ProtocolError(Exception):
    """The server closed without a reply, or the reply makes no sense."""


def freeze(value) -> bytes:
    """`value` (None, int, str, bytes, list, dict) as one Storable object, with
    nested lists and maps behind references as Perl writes them."""
    if value is None:
        return b"\x05"
    if isinstance(value, int):
        if -128 <= value <= 127:
            return b"\x08" + bytes([value + 128])
        return b"\x09" + struct.pack(">i", value)
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        if len(value) <= 255:
            return b"\x0a" + bytes([len(value)]) + value
        return b"\x01" + struct.pack(">I", len(value)) + value
    if isinstance(value, (list, tuple)):
        return (b"\x02" + struct.pack(">I", len(value))
                + b"".join(_nested(v) for v in value))
    if isinstance(value, dict):
        return (b"\x03" + struct.pack(">I", len(value))
                + b"".join(_nested(v) + struct.pack(">I", len(k)) + k.encode()
                           for k, v in value.items()))
    raise TypeError(f"no Storable form for {type(value).__name__}")


def _nested(value) -> bytes:
    ref = b"\x04" if isinstance(value, (list, tuple, dict)) else b""
    return ref + freeze(value)


def thaw(image: bytes):
    """The one object of a Storable image; text comes back as bytes."""
    if image[:1] != _HEADER[:1]:
        raise ProtocolError(f"not a network order image: {image[:2]!r}")
    value, rest = _thaw(image[2:])
    if rest:
        raise ProtocolError("octets after the image")
    return value


def _thaw(data: bytes):
    if not data:
        raise ProtocolError("the image is cut short")
    tag, data = data[0], data[1:]
    if tag == 0x04:
        return _thaw(data)
    if tag in (0x05, 0x0e):
        return None, data
    if tag == 0x08:
        return data[0] - 128, data[1:]
    if tag == 0x09:
        return struct.unpack(">i", data[:4])[0], data[4:]
    if tag == 0x0a:
        return data[1:1 + data[0]], data[1 + data[0]:]
    if tag == 0x01:
        end = 4 + struct.unpack(">I", data[:4])[0]
        return data[4:end], data[end:]
    if tag == 0x02:
        count, data, items = struct.unpack(">I", data[:4])[0], data[4:], []
        for _ in range(count):
            item, data = _thaw(data)
            items.append(item)
        return items, data
    raise ProtocolError(f"tag {tag:#x} is not in replies of this protocol")


class NatHelper:
    """`where`: the path of a UNIX socket, or (host, port)."""

    def __init__(self, where, timeout_s: float = 10):
        self._where = where
        self._timeout_s = timeout_s

    def connect(self) -> socket.socket:
        family = (socket.AF_UNIX if isinstance(self._where, str)
                  else socket.AF_INET)
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(self._timeout_s)
        sock.connect(self._where)
        return sock

    def call(self, command: str, *args):
        """One request; the reply's value."""
        image = _HEADER + freeze([command, *args])
        with self.connect() as sock:
            sock.sendall(struct.pack(">I", len(image)) + image)
            reply = b""
            while chunk := sock.recv(65536):
                reply += chunk
        if len(reply) < 4 or len(reply) != 4 + struct.unpack(">I", reply[:4])[0]:
            raise ProtocolError(f"no whole reply to {command}: {reply[:40]!r}")
        return thaw(reply[4:])

    @staticmethod
    def _basic(key: Key) -> list:
        # The original sends the CSeq as text.
        cseq = None if key.cseq is None else str(key.cseq)
        return [key.call_id, cseq, *key[2:]]

    def allocate(self, key: Key, side: int, addr: str, media):
        """A list of (address, port, number of sockets); None: refused."""
        maps = [{"media": m.media, "proto": m.proto, "addr": m.addr,
                 "port": str(m.port), "range": m.range} for m in media]
        reply = self.call("allocate", self._basic(key), side, addr, maps)
        if reply is None:
            return None
        return [(a.decode(), port, count) for a, port, count in reply]

    def activate(self, key: Key, param: Optional[dict] = None):
        args = [] if param is None else [param]
        return self.call("activate", self._basic(key), *args)

    def close(self, key: Key):
        return self.call("close", self._basic(key))
