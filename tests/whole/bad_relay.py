"""Relays that do wrong on purpose, and a NAT helper of canned answers: what the
instrument's counters are held against. Not a test program."""

import collections
import os
import select
import signal
import socket
import struct
import threading

CALLER, CALLEE = 0, 1
RTP, RTCP = 0, 1

# One packet on its way: which session, who sent it, RTP or RTCP.
Packet = collections.namedtuple("Packet", "session party kind data")

BUFFER_BYTES = 4 << 20
# Where they are. 127.0.0.1 is sluiced's alone (run_whole.py --veth).
IP = "127.0.0.5"


def udp(ip: str, port: int) -> socket.socket:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    try:
        s.bind((ip, port))
    except OSError:
        s.close()
        raise
    return s


def udp_pair(ip: str) -> tuple[socket.socket, socket.socket]:
    """An even port and the next one."""
    while True:
        first = udp(ip, 0)
        port = first.getsockname()[1]
        try:
            if port % 2 == 0:
                return first, udp(ip, port + 1)
        except OSError:
            pass
        first.close()


def endpoint(text: str) -> tuple[str, int]:
    ip, port = text.rsplit(":", 1)
    return ip, int(port)


class Relay(threading.Thread):
    """Forwards everything, unless `fault(relay, packet)` says that it has dealt
    with a packet itself. `done` counts what the faults did."""

    def __init__(self, fault=None):
        super().__init__(daemon=True)
        self.fault = fault or (lambda relay, packet: False)
        self.done = collections.Counter()
        self.seen = 0
        self.pid = 0  # sluiceload's, for faults that need it
        self.held = {}
        self.error = None
        self._sockets = {}  # (session, party, kind) -> faces that party
        self._where = {}    # descriptor -> the same key
        self._parties = {}
        # Unlike poll(2), it sees sockets that are added while it waits.
        self._poll = select.epoll()
        self._awake, self._wake = os.pipe()
        self._poll.register(self._awake, select.EPOLLIN)

    def add(self, session: int, caller: str, callee: str) -> tuple[str, str]:
        """A session; what the caller and the callee are to send to."""
        relays = []
        for party, text in ((CALLER, caller), (CALLEE, callee)):
            ip, port = endpoint(text)
            pair = udp_pair(IP)
            for kind, s in ((RTP, pair[0]), (RTCP, pair[1])):
                key = (session, party, kind)
                self._sockets[key] = s
                self._where[s.fileno()] = key
                self._parties[key] = (ip, port + kind)
                self._poll.register(s, select.EPOLLIN)
            relays.append("%s:%d" % pair[0].getsockname())
        return relays[0], relays[1]

    def send(self, packet: Packet, data=None, session=None, out_of=None):
        """On to the other party; of another session, or out of another
        session's port, if told so."""
        to = (packet.session if session is None else session,
              1 - packet.party, packet.kind)
        by = to if out_of is None else (out_of, to[1], to[2])
        self._sockets[by].sendto(packet.data if data is None else data,
                                 self._parties[to])

    def run(self):
        try:
            while True:
                for fd, _ in self._poll.poll():
                    if fd == self._awake:
                        return
                    key = self._where[fd]
                    packet = Packet(*key, self._sockets[key].recv(65536))
                    self.seen += 1
                    if not self.fault(self, packet):
                        self.send(packet)
        except Exception as error:  # for the test to show
            self.error = error

    def stop(self):
        os.write(self._wake, b"x")
        self.join()
        for s in self._sockets.values():
            s.close()
        self._poll.close()
        os.close(self._wake)
        os.close(self._awake)
        if self.error:
            raise self.error


def sometimes(every: int, at_most: int, name: str, act):
    """Does `act` to every n-th RTP packet, so many times, and counts them. The
    rest of the run is honest, so that nothing is cut off by its end."""
    def fault(relay: Relay, packet: Packet) -> bool:
        if packet.kind != RTP or relay.seen % every or \
                relay.done[name] >= at_most:
            return False
        relay.done[name] += 1
        return act(relay, packet)
    return fault


def drop(relay, packet):
    return True


def duplicate(relay, packet):
    relay.send(packet)
    return False


def corrupt(relay, packet):
    data = bytearray(packet.data)
    which = relay.done["corrupt"] % 3
    if which == 0:
        data[relay.done["corrupt"] * 7 % len(data)] ^= 0x10
    elif which == 1:
        del data[-1]
    else:
        data += b"\0"
    relay.send(packet, data=bytes(data))
    return True


def misroute(sessions: int):
    def act(relay, packet):
        relay.send(packet, session=(packet.session + 1) % sessions)
        return True
    return act


def wrong_port(sessions: int):
    def act(relay, packet):
        relay.send(packet, out_of=(packet.session + 1) % sessions)
        return True
    return act


def hold_back(name: str, behind: int, at_most: int):
    """Lets a packet of a flow wait until so many later ones have passed it."""
    def fault(relay: Relay, packet: Packet) -> bool:
        if packet.kind != RTP:
            return False
        flow = (packet.session, packet.party)
        waiting = relay.held.get(flow)
        if waiting is None:
            if relay.done[name] >= at_most:
                return False
            relay.done[name] += 1
            relay.held[flow] = [packet, behind]
            return True
        relay.send(packet)
        waiting[1] -= 1
        if waiting[1] == 0:
            relay.send(waiting[0])
            del relay.held[flow]
        return True
    return fault


def flood(copies: int):
    """Stops sluiceload and sends it more than its socket can hold."""
    def act(relay, packet):
        os.kill(relay.pid, signal.SIGSTOP)
        for _ in range(copies):
            relay.send(packet)
        os.kill(relay.pid, signal.SIGCONT)
        return True
    return act


# -- Storable, as little as the helper's answers need (network order).

UNDEF = b"\x05\x0b\x05"


def number(n: int) -> bytes:
    return b"\x05\x0b\x08" + bytes([n + 128])


def allocated(address: str) -> bytes:
    ip, port = endpoint(address)
    return (b"\x05\x0b\x04\x02" + struct.pack(">I", 1) +
            b"\x04\x02" + struct.pack(">I", 3) +
            b"\x0a" + bytes([len(ip)]) + ip.encode() +
            b"\x09" + struct.pack(">i", port) + b"\x08\x82")


def frame(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


class Helper(threading.Thread):
    """Answers `answer(verb, request)`: bytes to send (framed), or None to close
    without a word. Remembers the verbs."""

    def __init__(self, path: str, answer):
        super().__init__(daemon=True)
        self.answer = answer
        self.verbs = collections.Counter()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(64)

    def run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                request = self._read(connection)
                verb = next((v for v in ("allocate", "activate", "close")
                             if v.encode() in request[:32]), "unknown")
                self.verbs[verb] += 1
                reply = self.answer(verb, request)
                if reply is not None:
                    connection.sendall(reply)

    @staticmethod
    def _read(connection) -> bytes:
        data = b""
        while len(data) < 4 or len(data) < 4 + struct.unpack(
                ">I", data[:4])[0]:
            more = connection.recv(65536)
            if not more:
                break
            data += more
        return data[4:]

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join()
