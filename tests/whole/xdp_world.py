"""Two network namespaces with veth between them, and a sluiced in one of them,
for the tests of the kernel bypass:

       far                                       relay
    caller 10.91.1.2, fd91:1::2 ===veth=== r0 10.91.1.1, fd91:1::1
    callee 10.91.2.2, fd91:2::2 ===veth=== r1 10.91.2.1, fd91:2::1

With one device both parties are behind r0, the callee as 10.91.1.3 (fd91:1::3).
Only sockets are opened inside: a process enters a namespace for as long as that
takes."""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import namespaces  # noqa: E402
import run_whole  # noqa: E402
from namespaces import run, why_not  # noqa: E402,F401
from waiting import PATIENCE_S  # noqa: E402


class Namespaces(namespaces.Pair):
    """Use it in a `with`. `devices`: 2, or 1 with both parties behind it."""

    def __init__(self, devices: int = 2):
        super().__init__()
        self.devices = devices
        self.caller_ip, self.caller_ip6 = "10.91.1.2", "fd91:1::2"
        if devices == 1:
            self.callee_ip, self.callee_ip6 = "10.91.1.3", "fd91:1::3"
        else:
            self.callee_ip, self.callee_ip6 = "10.91.2.2", "fd91:2::2"
        # By side of a call: where the relay faces its party.
        self.relay_ips = ["10.91.1.1", "10.91.2.1"][:devices]
        self.relay_ips6 = ["fd91:1::1", "fd91:2::1"][:devices]

    def lay_out(self):
        self._device(0, [self.caller_ip, self.caller_ip6] +
                     ([self.callee_ip, self.callee_ip6]
                      if self.devices == 1 else []))
        if self.devices == 2:
            self._device(1, [self.callee_ip, self.callee_ip6])

    def _device(self, number: int, addresses):
        near, far = f"r{number}", f"p{number}"
        self.link(near, far)
        for address in [f"10.91.{number + 1}.1/24", f"fd91:{number + 1}::1/64"]:
            self._address(self.relay, near, address)
        for address in addresses:
            self._address(self.far, far,
                          f"{address}/{64 if ':' in address else 24}")

    @staticmethod
    def _address(namespace: str, device: str, address: str):
        extra = ["nodad"] if ":" in address else []
        run("ip", "-n", namespace, "addr", "add", address, "dev", device, *extra)


class Daemon:
    """A sluiced in the relay's namespace. Use it in a `with`."""

    def __init__(self, build: pathlib.Path, spaces: Namespaces, xdp: str = "",
                 relay: str = "", ports=(10000, 19999)):
        """`xdp`: the mode of every interface; `relay`: lines for [relay]."""
        self.build, self.spaces = build, spaces
        self._temporary = tempfile.TemporaryDirectory(prefix="sluice-xdp-")
        self.folder = pathlib.Path(self._temporary.name)
        self.unix = str(self.folder / "nathelper.sock")
        text = run_whole.CONFIG.format(folder=self.folder, engine="auto",
                                       http_port=0)
        text = text.replace("ports = [10000, 32767]",
                            f"ports = [{ports[0]}, {ports[1]}]\n{relay}")
        text = text.replace('listen = "127.0.0.1:0"', 'listen = ""')
        head, tail = text.split('[[relay.interface]]\nname = "default"\n'
                                'address = "127.0.0.1"\n')
        for i, ip in enumerate(spaces.relay_ips + spaces.relay_ips6):
            head += (f'[[relay.interface]]\nname = "i{i}"\naddress = "{ip}"\n'
                     f'xdp = "{xdp}"\n' if xdp else
                     f'[[relay.interface]]\nname = "i{i}"\naddress = "{ip}"\n')
        self.config = self.folder / "sluice.toml"
        self.config.write_text(head + tail)
        self.process = None
        self.prefix = []  # what it is started by

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        with self.spaces.inside(self.spaces.relay):
            self.process = subprocess.Popen(
                [*self.prefix, self.build / "tools/sluiced", "--config",
                 self.config],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line == "ready\n":
                break
        else:
            raise AssertionError("sluiced did not start:\n" + "".join(lines))
        self.log = lines
        threading.Thread(target=self._read, args=(self.process,),
                         daemon=True).start()

    def _read(self, process):
        for line in process.stdout:
            self.log.append(line)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def __exit__(self, *unused):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self._temporary.cleanup()

    def ask(self, *words: str):
        out = run(str(self.build / "tools/sluicectl"), "-s",
                  str(self.folder / "control.sock"), "-o", "json", *words)
        return json.loads(out)

    def fast_path(self) -> dict:
        return self.ask("status")["fast_path"]
