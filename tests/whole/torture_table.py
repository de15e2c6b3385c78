"""What has to become of the messages of RFC 4475 and RFC 5118 (tests/data/) at
a stateless proxy and registrar of example.com that sends all else to one
outbound proxy; for sip_torture_test.py.

A line: name, what is right, what is tolerated besides ("-": nothing), and both
again where a stream makes them other. Words:
  fwd     forwarded, unknown parts untouched
  404,4xx answered with that code, one of that hundred
  drop    silence
  close   the connection is closed
  parsed  any of them that shows that it was understood"""

RFC4475 = """\
wsinv fwd parsed
intmeth fwd parsed
esc01 fwd parsed
escnull 2xx parsed
esc02 fwd parsed
lwsdisp fwd parsed
longreq fwd parsed
dblreq 2xx parsed 2xx parsed
semiuri fwd parsed
transports fwd parsed
mpart01 fwd parsed
unreason drop - drop close
noreason drop - drop close
badinv01 400 drop 400 drop,close
clerr 400 drop drop 400,close
ncl 400 drop 400,close drop
scalar02 400 drop 400 close
scalarlg drop - drop close
quotbal 400 drop 400 close
ltgtruri 400 fwd,drop 400 fwd,drop,close
lwsruri 400 drop 400 drop,close
lwsstart 400 fwd,drop 400 fwd,drop,close
trws 400 parsed,drop 400 parsed,drop,close
escruri 400 parsed,drop 400 parsed,drop,close
baddate 400,fwd parsed,drop 400,fwd parsed,close
regbadct 400 drop,403 400 drop,close,403
badaspec 400 parsed,drop 400 parsed,drop,close
baddn 400 parsed,drop 400 parsed,drop,close
badvers 505 400,drop 505 400,close,drop
mismatch01 400 drop 400 drop,close
mismatch02 400 501,drop 400 501,drop,close
bigcode drop - drop close
badbranch fwd parsed
insuf 400 drop 400 drop,close
unkscm 416 400,404,drop 416 400,404,drop,close
novelsc 416 400,404,drop 416 400,404,drop,close
unksm2 400 404,403,416,drop 400 404,403,416,drop,close
bext01 420 -
invut fwd parsed
regaut01 401,2xx parsed,400
multi01 400 drop 400 close
mcl01 400 drop 400,close drop
bcast drop - drop close
zeromf 483 2xx
cparam01 2xx 401,403,404
cparam02 2xx 401,403,404
regescrt 2xx 4xx
sdp01 fwd parsed
inv2543 fwd parsed fwd 400,drop,close
"""

RFC5118 = """\
ipv6-good parsed -
ipv6-bad 400 drop 400 drop,close
port-ambiguous parsed -
port-unambiguous parsed -
via-received-param-with-delim fwd parsed
via-received-param-no-delim fwd parsed
ipv6-in-sdp fwd parsed
mult-ip-in-header fwd parsed
mult-ip-in-sdp fwd parsed
ipv4-mapped-ipv6 fwd parsed
ipv6-bug-abnf-3-colons fwd parsed
ipv6-correct-abnf-2-colons fwd parsed
"""


class Row:
    def __init__(self, line: str):
        self.name, *words = line.split()
        sets = [set() if w == "-" else set(w.split(",")) for w in words]
        self.right = {"udp": sets[0], "tcp": sets[-2]}
        self.tolerated = {"udp": sets[1], "tcp": sets[-1]}


TABLE = {folder: [Row(line) for line in text.splitlines()]
         for folder, text in (("rfc4475", RFC4475), ("rfc5118", RFC5118))}


def is_one_of(outcome: str, words: set[str]) -> bool:
    """`outcome`: fwd, drop, close or a code."""
    if outcome in words:
        return True
    if outcome.isdigit() and outcome[0] + "xx" in words:
        return True
    return "parsed" in words and outcome not in ("drop", "close", "400")
