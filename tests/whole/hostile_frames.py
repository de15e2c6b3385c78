"""Frames of the NATHelper RPC that lie, for hostile_test.py: whole images and
length headers, each of which has to be met with silence."""

import os
import struct

from nathelper import freeze

# Addresses of this process alone, so that two runs on a machine do not meet.
NET = f"127.{os.getpid() >> 8 & 0x7f | 0x40}.{os.getpid() & 0xff}"
PAYLOAD_MAX = 128 * 1024


def framed(image: bytes) -> bytes:
    return struct.pack(">I", len(image)) + image


def image_of(*objects: bytes) -> bytes:
    """A request whose arguments are these frozen objects."""
    return (b"\x05\x0b\x02" + struct.pack(">I", 1 + len(objects)) +
            freeze("allocate") + b"".join(objects))


def real_allocate() -> bytes:
    """The image of an allocate that would be granted."""
    key = ["truncated", "1", "from", "to", "sip:a@example.com",
           "sip:b@example.com"]
    media = {"media": "audio", "proto": "RTP/AVP", "addr": f"{NET}.4",
             "port": "4000", "range": 2}
    return b"\x05\x0b" + freeze(["allocate", key, 0, "127.0.0.1", [media]])


def lying_counts():
    for count in 1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 30:
        said = struct.pack(">I", count)
        for tag in b"\x01", b"\x18", b"\x02", b"\x03", b"\x19\x00":
            yield image_of(tag + said)
            yield image_of(tag + said + b"\x05" * 1000)
            yield b"\x05\x0b" + tag + said
        yield image_of(b"\x03" + struct.pack(">I", 1) + b"\x05" + said + b"k")
    # True of the frame, but dear: each octet is a value.
    many = PAYLOAD_MAX - 100
    yield image_of(b"\x02" + struct.pack(">I", many) + b"\x05" * many)
    yield image_of(b"\x0a\xff")


def deep_nesting():
    levels = 20_000
    one = struct.pack(">I", 1)
    yield image_of(b"\x04" * 130_000 + b"\x05")
    yield image_of(b"\x1b" * 130_000)
    yield image_of((b"\x02" + one) * levels + b"\x05")
    yield image_of((b"\x04\x02" + one) * levels + b"\x05")
    yield image_of((b"\x03" + one) * levels + b"\x05")


def bombs():
    """Little on the wire, without end when the back-references are followed.
    The root is object 0, the name of the command object 1, what follows 2..."""
    def again(number: int, times: int) -> bytes:
        return (b"\x02" + struct.pack(">I", times) +
                (b"\x00" + struct.pack(">I", number)) * times)
    # Each list is a hundred times the one before.
    yield image_of(freeze("ha" * 100), *(again(2 + i, 100) for i in range(9)))
    # One long string, thousands of times.
    yield image_of(freeze("x" * 60_000), again(2, 12_000))
    # A list of itself, and a reference to itself.
    yield image_of(again(0, 1))
    yield image_of(again(2, 20_000))
    yield image_of(b"\x04\x00" + struct.pack(">I", 2))
    yield image_of(b"\x00" + struct.pack(">I", 0xffffffff))


def refused_tags():
    name = b"\x08IO::File"
    yield image_of(b"\x11" + name + b"\x04\x05")                  # BLESS
    yield image_of(b"\x12\x00\x05")                               # IX_BLESS
    yield image_of(b"\x13\x01" + name + b"\x04ruin\x00")          # HOOK
    yield image_of(b"\x1a\x0a\x0esystem('true')")                 # CODE
    yield image_of(b"\x20\x00\x06(a+)+$\x00")                     # REGEXP
    for tag in b"\x06\x07\x0b\x0c\x0d\x14\x15\x16\x1c\x21\x7f\xff":
        yield image_of(bytes([tag]) + b"\x01" * 16)
    # Native byte order, another major version, a file instead of a frame.
    whole = real_allocate()
    yield b"\x04\x0b\x0812345678\x04\x08\x08\x08" + whole[2:]
    yield b"\x07\x0b" + whole[2:]
    yield b"pst0" + whole


def bad_images():
    """Whole frames, none of which may be answered or do anything."""
    whole = real_allocate()
    yield from (whole[:n] for n in range(1, len(whole)))
    yield from lying_counts()
    yield from deep_nesting()
    yield from bombs()
    yield from refused_tags()


def bad_lengths():
    """(octets, how the server counts them)."""
    yield bytes(4), "connections_bad_frames"
    yield struct.pack(">I", PAYLOAD_MAX + 1), "connections_oversized"
    yield struct.pack(">I", 0xffffffff) + b"\x05" * 100, "connections_oversized"
