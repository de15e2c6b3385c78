"""The SIP servers that bench/compare-sip measures: how each is started on a core
and stopped. Every server is a process of our own, on ports of our own; no system
service is touched."""

import pathlib
import socket
import subprocess

from relays import Relay, RelayError, connects, need

DOMAIN = "example.com"
# The server, the calling side and the answering side. Fixed addresses, so that
# every server sees the same messages.
SERVER_IP, UAC_IP, UAS_IP = "127.0.0.20", "127.0.0.21", "127.0.0.22"


def ports() -> tuple[int, int, int]:
    """Of server, caller and answerer: below the kernel's own range, and free."""
    found = []
    for ip in SERVER_IP, UAC_IP, UAS_IP:
        for port in range(15060, 16060):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                try:
                    s.bind((ip, port))
                except OSError:
                    continue
            found.append(port)
            break
        else:
            raise RelayError(f"no free port at {ip}")
    return tuple(found)


def udp_taken(port: int) -> bool:
    """Somebody has bound it at the server's address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.bind((SERVER_IP, port))
            return False
        except OSError:
            return True


class Server(Relay):
    """`serve(port)` returns when it can be asked."""

    def serve(self, port: int) -> None:
        raise NotImplementedError

    def pids(self) -> list[int]:
        """Its process and the children of that."""
        if self.process is None:
            return []
        root = self.process.pid
        children = pathlib.Path(f"/proc/{root}/task/{root}/children")
        return [root, *map(int, children.read_text().split())]


class Sluiced(Server):
    def serve(self, port):
        folder = self.make_folder()
        (folder / "sluiced.toml").write_text(f"""
[log]
level = "warn"
[relay]
shards = 1
ports = [10000, 14999]
[[relay.interface]]
name = "default"
address = "{SERVER_IP}"
[nathelper]
listen = []
[http]
listen = ""
[control]
socket = "{folder / 'control.sock'}"
[sip]
domains = ["{DOMAIN}"]
trace_messages = 0
[[sip.leg]]
name = "default"
trusted = true
listen = ["udp:{SERVER_IP}:{port}"]
chain = ["registrar", "proxy"]
[sip.registrar]
max_expires_s = 3600
""")
        self.spawn([self.build / "tools/sluiced", "--config",
                    folder / "sluiced.toml"])
        self.wait_until(
            lambda: connects(socket.AF_UNIX, str(folder / "control.sock"))
            and udp_taken(port), "the start")


class Kamailio(Server):
    """One worker that does the same: requests forwarded without a transaction
    by their URI, INVITEs record-routed, bindings kept in memory."""

    CONFIG = """#!KAMAILIO
debug=-1
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:{ip}:{port}
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "siputils.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
modparam("usrloc", "db_mode", 0)
modparam("usrloc", "hash_size", 14)
modparam("registrar", "max_expires", 3600)
request_route {{
  if (method == "REGISTER") {{
    save("location");
    exit;
  }}
  if (!mf_process_maxfwd_header("10")) {{
    sl_send_reply("483", "Too Many Hops");
    exit;
  }}
  if (has_totag()) {{
    loose_route();
    forward();
    exit;
  }}
  if (method == "INVITE") record_route();
  forward();
}}
"""

    def serve(self, port):
        program = need("kamailio", "kamailio")
        folder = self.make_folder()
        config = folder / "kamailio.cfg"
        config.write_text(self.CONFIG.format(ip=SERVER_IP, port=port))
        # Its allocator for debugging, which is the default, costs two thirds of
        # its speed: "fm" is what it is run with where speed matters.
        self.spawn([program, "-f", config, "-DD", "-E", "-x", "fm", "-X", "fm",
                    "-m", 256, "-M", 32, "-Y", folder, "-w", folder,
                    "-P", folder / "pid"])
        self.wait_until(lambda: udp_taken(port) and len(self.pids()) > 1,
                        "the start")


class Perl(Server):
    """Registrar and stateless proxy of Net::SIP."""

    PROGRAM = """
use Net::SIP qw(:all);
my ($ip, $port, $domain) = @ARGV;
my $loop = Net::SIP::Dispatcher::Eventloop->new;
my $leg = Net::SIP::Leg->new(addr => $ip, port => $port);
my $dispatcher = Net::SIP::Dispatcher->new([$leg], $loop, do_retransmits => 0);
my $registrar = Net::SIP::Registrar->new(dispatcher => $dispatcher,
                                         domains => [$domain]);
my $proxy = Net::SIP::StatelessProxy->new(dispatcher => $dispatcher,
                                          registrar => $registrar);
$dispatcher->set_receiver(Net::SIP::ReceiveChain->new([$registrar, $proxy]));
$loop->loop;
"""

    def serve(self, port):
        perl = need("perl", "perl")
        if subprocess.run([perl, "-MNet::SIP", "-e", "1"],
                          stderr=subprocess.DEVNULL).returncode != 0:
            raise RelayError("Net::SIP is not installed (Debian package "
                             "libnet-sip-perl)")
        self.spawn([perl, "-e", self.PROGRAM, SERVER_IP, port, DOMAIN])
        self.wait_until(lambda: udp_taken(port), "the start")


class Nobody(Server):
    """No server: what the generator can do at most."""

    def serve(self, port):
        pass


TARGETS = {"sluiced": Sluiced, "kamailio": Kamailio, "perl": Perl,
           "self": Nobody}


def make(name: str, build: pathlib.Path, core: int) -> Server:
    return TARGETS[name](name, build, core)
