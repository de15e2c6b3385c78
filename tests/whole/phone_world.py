"""What the programs about sluicephone share: the phone as a process, the sounds
it plays, and what is to be found in what it has recorded."""

import array
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import unittest
import wave

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import sip_phones  # noqa: E402
from sip_phones import Program, free_port, with_port  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
RATE = 8000
PACKET = 160  # samples
HZ_TOLERANCE = 20


def noise(seconds: float) -> bytes:
    """Octets of PCMU that no stretch of is like another. Not the second zero of
    G.711, which becomes the first one in a file of samples."""
    octets = bytes(set(range(256)) - {0x7f})
    dice = random.Random(20260)
    return bytes(dice.choices(octets, k=int(seconds * RATE)))


def _sample_of(octet: int) -> int:
    """ITU-T G.711, mu-law."""
    octet = ~octet & 0xff
    magnitude = (((octet & 0x0f) << 3) + 0x84 << (octet >> 4 & 7)) - 0x84
    return -magnitude if octet & 0x80 else magnitude


_SAMPLES = [_sample_of(octet) for octet in range(256)]


def samples_of(octets: bytes) -> bytes:
    """As 16 bit samples, as they are in a .wav."""
    return array.array("h", [_SAMPLES[octet] for octet in octets]).tobytes()


def write_wav(path: pathlib.Path, octets: bytes) -> pathlib.Path:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(samples_of(octets))
    return path


def read_wav(path: pathlib.Path) -> bytes:
    with wave.open(str(path)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(),
                sound.getframerate()) == (1, 2, RATE), sound.getparams()
        return sound.readframes(sound.getnframes())


def pitch_hz(path: pathlib.Path, last_s: float = 0) -> float:
    """Of its last seconds, or of all of it."""
    samples = array.array("h", read_wav(path))[-int(last_s * RATE):]
    rises = [i for i in range(1, len(samples))
             if samples[i - 1] < 0 <= samples[i]]
    return (len(rises) - 1) * RATE / (rises[-1] - rises[0]) if rises[1:] else 0


class Phone(Program):
    """A sluicephone; its result is read once it has ended."""

    def __init__(self, build: pathlib.Path, folder: pathlib.Path, *words):
        with tempfile.NamedTemporaryFile(dir=folder, prefix="result-",
                                         delete=False) as result:
            self.result_file = pathlib.Path(result.name)
        # The words go to one file and the result to another.
        super().__init__(["sh", "-c", 'result=$1; shift; exec "$@" >"$result"',
                          "sh", self.result_file, build / "tools/sluicephone",
                          *words, "-o", "json"], folder, signal.SIGTERM)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def result(self, status: int = 0) -> dict:
        """What it said of its calls, once it has ended, with that status."""
        ended = self.ended()
        assert ended == status, (ended, self.text()[-4000:],
                                 self.result_file.read_text())
        result = json.loads(self.result_file.read_text())
        assert result["exit_code"] == status, result
        return result

    def call(self, status: int = 0) -> dict:
        """Of its only call."""
        calls = self.result(status)["calls"]
        assert len(calls) == 1, calls
        return calls[0]

    def at(self, transport: str = "udp") -> str:
        """Where it listens, as a URI's host and port."""
        return self.expect(f"at {transport}:").split(f"{transport}:", 1)[1]


class PhoneTests:
    """For a TestCase: phones and the files of their calls. The case has
    `folder` and `build`."""

    def phone(self, *words) -> Phone:
        phone = Phone(self.build, self.folder, *words)
        self.addCleanup(phone.close)
        return phone

    def sound(self, name: str = "play", seconds: float = 1) -> bytes:
        """Octets, and two files of them: NAME.wav and NAME.pcmu."""
        octets = noise(seconds)
        (self.folder / f"{name}.pcmu").write_bytes(octets)
        write_wav(self.folder / f"{name}.wav", octets)
        return octets

    def heard_all(self, played: bytes, record: str) -> None:
        """Every sample of it, one behind the other, nothing between."""
        path = self.folder / record
        if record.endswith(".wav"):
            heard, played = read_wav(path), samples_of(played)
        else:
            heard = path.read_bytes()
        assert played in heard, (
            f"{record}: {len(heard)} octets without the {len(played)} that "
            f"were played; it has the first packet at "
            f"{heard.find(played[:2 * PACKET])}, the last at "
            f"{heard.find(played[-2 * PACKET:])}")

    def heard_in_two(self, played: bytes, record: str) -> None:
        """Both ends of it, the first before the last, and not all in one piece.
        That it was the hold that has cut it the caller knows otherwise."""
        heard = (self.folder / record).read_bytes()
        assert heard.find(played[:10 * PACKET]) < heard.find(
            played[-10 * PACKET:]) and played[:10 * PACKET] in heard, (
                f"{record}: {len(heard)} octets without both ends of the "
                f"{len(played)} that were played")
        assert played not in heard, f"{record}: there was no hold"

    def no_loss(self, call: dict) -> None:
        assert call["lost"] == 0 and call["received"] > 0, call
        # Others: what came before it was known from where it would, and what a
        # neighbour on this machine sends to a port that was once its own.
        for reason in "malformed", "other_types", "late", "too_fast", "unsent":
            assert call["drops"][reason] == 0, call


class Case(unittest.TestCase, PhoneTests):
    """Without a daemon: phones speak to each other directly."""

    @property
    def build(self) -> pathlib.Path:
        return sip_phones.Case.build

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(
            tempfile.TemporaryDirectory(prefix="sluice-phone-")))

    def start(self, *command, at_end: int = signal.SIGTERM) -> Program:
        program = Program(list(command), self.folder, at_end)
        self.addCleanup(program.close)
        return program

    def leg(self, transport: str = "udp", address: str = "127.0.0.1") -> str:
        return f"{transport}:{with_port(address, 0)}"


def result_of(build: pathlib.Path, *words) -> subprocess.CompletedProcess:
    """Of a run that ends at once."""
    return subprocess.run([build / "tools/sluicephone", *map(str, words)],
                          capture_output=True, stdin=subprocess.DEVNULL,
                          timeout=sip_phones.PATIENCE_S, text=True)


__all__ = ["Case", "Phone", "PhoneTests", "free_port", "noise", "pitch_hz",
           "read_wav", "result_of", "samples_of", "with_port", "write_wav"]
