#!/usr/bin/perl
# Drives a NAT helper with Net::SIP's own client, as a SIP proxy would, and
# sends media through the ports it announces.
#
#   nathelper_client.pl SOCKET [BUILD | --original]
#
# SOCKET is a UNIX socket's path or host:port. With --original it speaks to
# Perl's own nathelper.pl and leaves out what that one cannot do, so that what
# is expected here is known to be what the original does.
#
# Media comes from the very address and port the SDP named, and is valid RTP and
# RTCP: nothing else is relayed.

use strict;
use warnings;

use Errno qw(ECONNREFUSED);
use IO::Select;
use IO::Socket::INET;
use Socket qw(inet_aton inet_ntoa pack_sockaddr_in unpack_sockaddr_in);
use Test::More;
use Time::HiRes qw(time);

BEGIN {
    if (!eval { require Net::SIP::NATHelper::Client; 1 }) {
        print "1..0 # SKIP Net::SIP is not installed\n";
        exit 77;
    }
}

my ($socket, $mode) = @ARGV;
die "usage: $0 SOCKET [BUILD | --original]\n" if !defined $socket;
my $original = defined $mode && $mode eq '--original';
my $helper = Net::SIP::NATHelper::Client->new($socket);

my $RELAY = '127.0.0.1';     # where the helper is to bind
my $CALLER = '127.0.0.2';
my $CALLEE = '127.0.0.3';
my $FORK = '127.0.0.4';
my $PATIENCE_S = 5;          # for what must come

# ---- parties ---------------------------------------------------------------

# A party with an RTP and an RTCP socket on neighbouring ports of its own
# address; below the relay's ports, so that no two tests are in each other's way.
my $next_port = 3000 + 2 * ($$ % 1500);
sub party {
    my ($ip, $count) = @_;
    $count ||= 2;
    for (1 .. 1000) {
        my $port = $next_port;
        $next_port += 2 * int(($count + 1) / 2);
        $next_port = 3000 if $next_port > 9000;
        my @socks;
        for my $i (0 .. $count - 1) {
            my $sock = IO::Socket::INET->new(
                Proto => 'udp', LocalAddr => $ip, LocalPort => $port + $i)
                or last;
            push @socks, $sock;
        }
        next if @socks < $count;
        return { ip => $ip, port => $port, socks => \@socks };
    }
    die "no ports for $ip";
}

# What Net::SIP sends of an m= line.
sub medium {
    my ($party, %over) = @_;
    my $range = scalar @{ $party->{socks} };
    return {
        addr => $party->{ip},
        port => "$party->{port}",    # from a pattern match, so a string
        range => $range,
        media => 'audio',
        proto => 'RTP/AVP',
        fmt => [ '0', '101' ],
        lines => [
            [ 'm', "audio $party->{port} RTP/AVP 0 101" ],
            [ 'a', 'rtpmap:101 telephone-event/8000' ],
        ],
        %over,
    };
}

# ---- calls -----------------------------------------------------------------

my $calls = 0;
sub new_call {
    ++$calls;
    return {
        id => "call-$calls-$$\@test", cseq => '1',
        from => "sip:caller\@x\0tag\0f$calls", to => "sip:callee\@x\0tag\0t$calls",
    };
}
sub basic {
    my ($call, %over) = @_;
    my %c = (%$call, %over);
    return [ $c{id}, $c{cseq}, $c{from}, $c{to}, 'sip:caller@x', 'sip:callee@x' ];
}
sub offer {
    my ($call, $media, %over) = @_;
    return $helper->allocate_sockets(basic($call, %over), 0, $RELAY, $media);
}
sub answer {
    my ($call, $media, %over) = @_;
    return $helper->allocate_sockets(basic($call, %over), 1, $RELAY, $media);
}
sub activate { my ($call, %over) = @_; return $helper->activate_session(basic($call, %over)) }
sub bye {
    my ($call, %over) = @_;
    return $helper->close_session(basic($call, cseq => undef, %over));
}

# A call that is up: the ports that the callee and the caller were told.
sub established {
    my ($call, $caller, $callee, %over) = @_;
    my $for_callee = offer($call, [ medium($caller) ], %over);
    my $for_caller = answer($call, [ medium($callee) ], %over);
    is(activate($call, %over), 1, 'active');
    return ($for_callee, $for_caller);
}

# ---- media -----------------------------------------------------------------

my $sequence = 0;
sub rtp {
    my ($ssrc, $text) = @_;
    ++$sequence;
    return pack('CCnNN', 0x80, 0, $sequence & 0xffff, 160 * $sequence, $ssrc)
        . substr($text . ('.' x 160), 0, 160);
}
# A sender report and the source description that goes with it (RFC 3550 6.1).
sub rtcp {
    my ($ssrc) = @_;
    my $sr = pack('CCnN N5', 0x80, 200, 6, $ssrc,
        time() + 2208988800, 0, 160 * $sequence, $sequence, 160 * $sequence);
    my $sdes = pack('N CC a4 xx', $ssrc, 1, 4, 'user');
    return $sr . pack('CCn', 0x81, 202, length($sdes) / 4) . $sdes;
}
sub send_to {
    my ($sock, $ip, $port, $data) = @_;
    my $sent = send($sock, $data, 0, pack_sockaddr_in($port, inet_aton($ip)));
    die "send to $ip:$port: $!" if !defined $sent && $! != ECONNREFUSED;
}
# The next datagram and who sent it; nothing after PATIENCE_S.
sub receive {
    my ($sock) = @_;
    my $until = time() + $PATIENCE_S;
    while ((my $left = $until - time()) > 0) {
        next if !IO::Select->new($sock)->can_read($left);
        my $peer = recv($sock, my $data, 65536, 0);
        next if !defined $peer || $peer eq '';    # an ICMP error came instead
        my ($port, $ip) = unpack_sockaddr_in($peer);
        return ($data, inet_ntoa($ip) . ":$port");
    }
    return ('nothing', 'nobody');
}
# What `from` sends to the port it was told arrives at `to`, unchanged, from the
# port that `to` was told.
sub flows {
    my ($from, $told_from, $to, $told_to, $index, $data, $name) = @_;
    send_to($from->{socks}[$index], $told_from->[0], $told_from->[1] + $index, $data);
    my ($got, $source) = receive($to->{socks}[$index]);
    ok($got eq $data, "$name: arrives unchanged");
    is($source, "$told_to->[0]:" . ($told_to->[1] + $index), "$name: from the announced port");
}
# The port is nobody's any more: the kernel says so to whoever sends there.
sub is_free {
    my ($port, $name) = @_;
    my $until = time() + $PATIENCE_S;
    while (time() < $until) {
        my $probe = IO::Socket::INET->new(
            Proto => 'udp', LocalAddr => $CALLER, PeerAddr => $RELAY, PeerPort => $port)
            or last;
        $probe->send('probe');
        return pass($name)
            if IO::Select->new($probe)->can_read(0.05)
            && !defined $probe->recv(my $none, 16) && $! == ECONNREFUSED;
    }
    return fail($name);
}

# ---- tests -----------------------------------------------------------------

subtest 'a plain call' => sub {
    my $call = new_call();
    my ($caller, $callee) = (party($CALLER), party($CALLEE));

    my $for_callee = offer($call, [ medium($caller) ]);
    is(scalar @$for_callee, 1, 'one medium offered, one allocated');
    is($for_callee->[0][0], $RELAY, 'on the address asked for');
    is($for_callee->[0][1] % 2, 0, 'RTP on an even port');
    is($for_callee->[0][2], 2, 'with RTCP');
    is(activate($call), undef, 'no session before the answer');
    my $for_caller = answer($call, [ medium($callee) ]);
    isnt($for_caller->[0][1], $for_callee->[0][1], 'other ports for the other side');
    is(activate($call), 1, 'active with the answer');
    is(activate($call), -1, 'and was active already with the ACK');
    is_deeply(offer($call, [ medium($caller) ]), $for_callee,
        'a repeated INVITE gets the same ports');
    is_deeply(answer($call, [ medium($callee) ]), $for_caller,
        'so does a repeated 200');

    my @to_callee = ($caller, $for_caller->[0], $callee, $for_callee->[0]);
    my @to_caller = ($callee, $for_callee->[0], $caller, $for_caller->[0]);
    flows(@to_callee, 0, rtp(1, 'hello'), 'RTP to the callee');
    flows(@to_caller, 0, rtp(2, 'hi'), 'RTP to the caller');
    flows(@to_callee, 1, rtcp(1), 'RTCP to the callee');
    flows(@to_caller, 1, rtcp(2), 'RTCP to the caller');
    flows(@to_callee, 0, rtp(1, 'still there?'), 'RTP again');

    my @many = map { rtp(1, "packet $_") } 1 .. 50;
    send_to($caller->{socks}[0], $RELAY, $for_caller->[0][1], $_) for @many;
    my @got = map { (receive($callee->{socks}[0]))[0] } @many;
    is_deeply(\@got, \@many, 'fifty packets in their order');

    is(bye($call), 1, 'one session closed');
    is(bye($call), undef, 'a repeated BYE closes nothing');
    is_free($for_callee->[0][1], 'the ports of the offer are free');
    is_free($for_caller->[0][1] + 1, 'the ports of the answer are free');
    is(activate($call), undef, 'a late ACK activates nothing');
};

subtest 'a call that goes on' => sub {
    my $call = new_call();
    my ($caller, $callee) = (party($CALLER), party($CALLEE));
    my ($for_callee, $for_caller) = established($call, $caller, $callee);
    # In turns, as fast as they hear each other.
    my @turn = (
        [ $caller, $for_caller->[0][1], $callee, $for_callee->[0][1], 1 ],
        [ $callee, $for_callee->[0][1], $caller, $for_caller->[0][1], 2 ],
    );
    my ($said, $changed, $elsewhere) = (0, 0, 0);
    my $until = time() + 1;
    while (time() < $until && !$changed) {
        for (@turn) {
            my ($from, $told_from, $to, $told_to, $ssrc) = @$_;
            my $data = rtp($ssrc, 'packet ' . ++$said);
            send_to($from->{socks}[0], $RELAY, $told_from, $data);
            my ($got, $source) = receive($to->{socks}[0]);
            ++$changed if $got ne $data;
            ++$elsewhere if $source ne "$RELAY:$told_to";
        }
    }
    note("$said packets");
    is($changed, 0, 'each arrives, unchanged');
    is($elsewhere, 0, 'from the announced port');
    is(bye($call), 1, 'closed');
};

subtest 'what comes before activation is relayed then' => sub {
    my $call = new_call();
    my ($caller, $callee) = (party($CALLER), party($CALLEE));
    my $for_callee = offer($call, [ medium($caller) ]);
    my @early = map { rtp(2, "early $_") } 1 .. 3;
    send_to($callee->{socks}[0], $RELAY, $for_callee->[0][1], $_) for @early;
    my $for_caller = answer($call, [ medium($callee) ]);
    is(activate($call), 1, 'active');
    is_deeply([ map { (receive($caller->{socks}[0]))[0] } @early ], \@early,
        'early media arrives');
    is(bye($call), 1, 'closed');
};

subtest 'a caller on hold still speaks' => sub {
    my $call = new_call();
    my ($caller, $callee) = (party($CALLER), party($CALLEE));
    my $for_callee = offer($call, [ medium($caller, port => '0') ]);
    is_deeply($for_callee, [ [ $RELAY, 0, 2 ] ], 'port 0 is answered by port 0');
    my $for_caller = answer($call, [ medium($callee) ]);
    isnt($for_caller->[0][1], 0, 'the other side has a port');
    is(activate($call), 1, 'active');
    my $data = rtp(1, 'on hold');
    send_to($caller->{socks}[0], $RELAY, $for_caller->[0][1], $data);
    my ($got) = receive($callee->{socks}[0]);
    ok($got eq $data, 'the callee hears the caller');
    is(bye($call), 1, 'closed');
};

subtest 'a callee on hold still speaks' => sub {
    my $call = new_call();
    my ($caller, $callee) = (party($CALLER), party($CALLEE));
    my $for_callee = offer($call, [ medium($caller) ]);
    is_deeply(answer($call, [ medium($callee, port => 0) ]), [ [ $RELAY, 0, 2 ] ],
        'port 0 is answered by port 0');
    is(activate($call), 1, 'active');
    my $data = rtp(2, 'on hold');
    send_to($callee->{socks}[0], $RELAY, $for_callee->[0][1], $data);
    my ($got) = receive($caller->{socks}[0]);
    ok($got eq $data, 'the caller hears the callee');
    is(bye($call), 1, 'closed');
};

subtest 'a re-INVITE moves the session' => sub {
    my $call = new_call();
    my ($caller, $callee) = (party($CALLER), party($CALLEE));
    my ($old_callee, $old_caller) = established($call, $caller, $callee, cseq => 5);
    flows($caller, $old_caller->[0], $callee, $old_callee->[0], 0, rtp(1, 'old'), 'before');

    my $moved = party($CALLER);
    my ($for_callee, $for_caller) = established($call, $moved, $callee, cseq => '6');
    # The original gives new ports for it.
    is($for_callee->[0][1], $old_callee->[0][1], 'the callee keeps its ports') if !$original;
    is($for_caller->[0][1], $old_caller->[0][1], 'and so does the caller') if !$original;
    flows($moved, $for_caller->[0], $callee, $for_callee->[0], 0, rtp(1, 'new'), 'after');
    flows($callee, $for_callee->[0], $moved, $for_caller->[0], 0, rtp(2, 'new'), 'after');

    is(offer($call, [ medium($caller) ], cseq => 4), undef, 'a lower CSeq is refused');
    is(activate($call, cseq => 4), undef, 'and cannot be activated');

    # CSeq counts for each party alone.
    my %turned = (from => $call->{to}, to => $call->{from}, cseq => 1);
    my $from_callee = offer($call, [ medium($callee) ], %turned);
    ok($from_callee, 'the callee offers with a CSeq of its own');
    my $to_callee = answer($call, [ medium($moved) ], %turned);
    is(activate($call, %turned), 1, 'and replaces the session again');
    flows($moved, $from_callee->[0], $callee, $to_callee->[0], 0, rtp(1, 'third'), 'turned');
    is(bye($call), 1, 'one session is left to close');
};

subtest 'two phones answer' => sub {
    my $call = new_call();
    my ($caller, $one, $two) = (party($CALLER), party($CALLEE), party($FORK));
    my $offered = offer($call, [ medium($caller) ]);
    my @forks = map { { to => "sip:callee\@x\0tag\0$_" } } qw(one two);
    my $told_one = answer($call, [ medium($one) ], %{ $forks[0] });
    my $told_two = answer($call, [ medium($two) ], %{ $forks[1] });
    isnt($told_one->[0][1], $told_two->[0][1], 'each has ports of its own');
    is(activate($call, %{ $forks[0] }), 1, 'first active');
    is(activate($call, %{ $forks[1] }), 1, 'second active');

    flows($caller, $told_one->[0], $one, $offered->[0], 0, rtp(1, 'one'), 'to the first');
    flows($caller, $told_two->[0], $two, $offered->[0], 0, rtp(1, 'two'), 'to the second');
    if (!$original) {
        # Both speak to the one port of the offer.
        flows($one, $offered->[0], $caller, $told_one->[0], 0, rtp(2, 'one'), 'from the first');
        flows($two, $offered->[0], $caller, $told_two->[0], 0, rtp(3, 'two'), 'from the second');
    }
    is($helper->close_session(basic($call, %{ $forks[0] })), 1, 'the first is cancelled');
    flows($caller, $told_two->[0], $two, $offered->[0], 0, rtp(1, 'on'), 'the second goes on');
    is(bye($call, %{ $forks[0] }), undef, 'the first is not there any more');
    is(bye($call, %{ $forks[1] }), 1, 'the second says BYE');
    is_free($offered->[0][1], 'the ports of the offer are free');
};

subtest 'the callee says BYE' => sub {
    my $call = new_call();
    my ($caller, $callee) = (party($CALLER), party($CALLEE));
    my ($for_callee, $for_caller) = established($call, $caller, $callee);
    is(bye($call, from => $call->{to}, to => $call->{from}), 1, 'one session closed');
    is_free($for_callee->[0][1], 'the ports of the offer are free');
    is_free($for_caller->[0][1], 'the ports of the answer are free');
    is(bye($call), undef, 'nothing is left for the caller to close');
};

subtest 'CANCEL of a call that only rings' => sub {
    my $call = new_call();
    my $caller = party($CALLER);
    my $for_callee = offer($call, [ medium($caller) ]);
    ok($for_callee, 'ringing');
    is($helper->close_session(basic($call)), undef, 'no session was closed');
    is_free($for_callee->[0][1], 'but its ports are free');
    is_free($for_callee->[0][1] + 1, 'RTCP too');
};

subtest 'several media' => sub {
    my $call = new_call();
    my ($caller, $callee) = (party($CALLER, 2), party($CALLEE, 2));
    my ($fax_a, $fax_b) = (party($CALLER, 1), party($CALLEE, 1));
    my %udptl = (media => 'image', proto => 'udptl', fmt => ['t38'], lines => []);
    my $for_callee = offer($call, [ medium($caller), medium($fax_a, %udptl) ]);
    is_deeply([ map { $_->[2] } @$for_callee ], [ 2, 1 ], 'two ports and one');
    my $for_caller = answer($call, [ medium($callee), medium($fax_b, %udptl) ]);
    is(activate($call), 1, 'active');
    flows($caller, $for_caller->[0], $callee, $for_callee->[0], 0, rtp(1, 'voice'), 'voice');
    flows($fax_a, $for_caller->[1], $fax_b, $for_callee->[1], 0, "\0\1fax", 'fax');
    flows($fax_b, $for_callee->[1], $fax_a, $for_caller->[1], 0, "\0\2fax", 'fax back');
    is(bye($call), 1, 'closed');
    is_deeply(offer(new_call(), []), [], 'no media is no failure');
};

subtest 'undef where there is nothing' => sub {
    my $call = new_call();
    my ($caller, $callee) = (party($CALLER), party($CALLEE));
    is(activate($call), undef, 'activate of an unknown call');
    is(bye($call), undef, 'BYE of an unknown call');
    is($helper->close_session(basic($call)), undef, 'CANCEL of an unknown call');
    answer($call, [ medium($callee) ]);
    is(activate($call), undef, 'an answer alone is no session');
    is($helper->close_session(basic($call)), undef, 'nothing to close');

    my $short = [ @{ basic($call) }[ 0 .. 3 ] ];
    my $ports = $helper->allocate_sockets($short, 0, $RELAY, [ medium($caller) ]);
    ok($ports, 'four elements are enough');
    is($helper->close_session($short), undef, 'half open');
    is_free($ports->[0][1], 'and freed');

    return if $original;    # it would end here, and all calls with it
    my $media = [ medium($caller) ];
    for my $wrong (
        [ 'address undef', medium($caller, addr => undef) ],
        [ 'address a name', medium($caller, addr => 'localhost') ],
        [ 'port 70000', medium($caller, port => 70000) ],
        [ 'port undef', medium($caller, port => undef) ],
        [ 'range 0', medium($caller, range => 0) ],
        [ 'range -1', medium($caller, range => -1) ],
        [ 'range 1e9', medium($caller, range => 1_000_000_000) ],
        [ 'no map', 'medium' ],
    ) {
        is(offer($call, [ $wrong->[1] ]), undef, $wrong->[0]);
    }
    is($helper->allocate_sockets($call->{id}, 0, $RELAY, $media), undef, 'no list');
    is($helper->allocate_sockets([], 0, $RELAY, $media), undef, 'empty list');
    is($helper->allocate_sockets(basic($call), 0, 'localhost', $media), undef, 'local name');
    is($helper->allocate_sockets(basic($call), 0, '192.0.2.1', $media), undef,
        'an address that is not here');
    is($helper->allocate_sockets(basic($call), 0, $RELAY), undef, 'no media argument');
    is($helper->activate_session(undef), undef, 'undef for a key');
    is($helper->close_session({}), undef, 'a map for a key');

    offer($call, [ medium($caller), medium($caller) ]);
    answer($call, [ medium($callee) ]);
    is(activate($call), undef, 'different numbers of media do not match');
    bye($call);
    ok(!eval { $helper->rpc('expire'); 1 }, 'an unknown command gets no answer');
    ok(offer(new_call(), $media), 'and the helper lives');
};

done_testing();
