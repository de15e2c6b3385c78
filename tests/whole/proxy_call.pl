#!/usr/bin/perl
# Whole calls between two Net::SIP agents through Net::SIP's own stateless proxy,
# which has our NAT helper carry the media.
#
#   proxy_call.pl SOCKET [BUILD]
#
#   caller 127.0.0.2        proxy 127.0.0.4          callee 127.0.0.3
#      |---- SIP ------> leg "outside"                     |
#      |                     leg "inside" ---- SIP ------->|
#      |                         | RPC                     |
#      |<=========== RTP ====> helper <======= RTP =======>|
#                           127.0.0.1
#
# The caller counts its packets in their payload and the callee echoes them, so
# what comes back has passed the relay both ways. This process is the caller;
# proxy and callee are children that tell what they saw through a pipe.

use strict;
use warnings;

use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use Test::More;

BEGIN {
    if (!eval { require Net::SIP; Net::SIP->import(':all'); 1 }) {
        print "1..0 # SKIP Net::SIP is not installed\n";
        exit 77;
    }
    require Net::SIP::NATHelper::Client;
}

my ($socket) = @ARGV;
die "usage: $0 SOCKET [BUILD]\n" if !defined $socket;

my $PATIENCE_S = 20;    # for what must come
my $PACKETS = 50;       # echoed before somebody hangs up: a second of sound
my $PROXY = '127.0.0.4';
my $RELAY = '127.0.0.1';

# A leg that only serves the party behind it: legs of Net::SIP know no routes.
package PartyLeg;
use parent -norequire, 'Net::SIP::Leg';
my %party_of;
sub serve { my ($self, $ip) = @_; $party_of{"$self"} = $ip; return $self }
sub can_deliver_to {
    my $self = shift;
    my %spec = @_ > 1 ? @_ : ();
    return if $spec{addr} && $spec{addr} ne $party_of{"$self"};
    return $self->SUPER::can_deliver_to(@_);
}

# The client, telling what was asked and what was answered.
package TellingHelper;
sub new {
    my ($class, $socket, $tell) = @_;
    return bless {
        client => Net::SIP::NATHelper::Client->new($socket), tell => $tell }, $class;
}
sub allocate_sockets {
    my ($self, @args) = @_;
    # It asks for its leg's address, as if the helper were on its machine.
    $args[2] eq $PROXY or die "allocate on $args[2]";
    $args[2] = $RELAY;
    my $reply = $self->{client}->allocate_sockets(@args);
    $self->{tell}->("allocate $args[1] " . ($reply
        ? join(',', map { "$_->[0]:$_->[1]/$_->[2]" } @$reply) : 'undef'));
    return $reply;
}
sub activate_session {
    my ($self, @args) = @_;
    my $reply = $self->{client}->activate_session(@args);
    $self->{tell}->('activate ' . ($reply // 'undef'));
    return $reply;
}
sub close_session {
    my ($self, @args) = @_;
    my $reply = $self->{client}->close_session(@args);
    $self->{tell}->('close ' . ($reply // 'undef'));
    return $reply;
}

package main;

sub bound {
    my ($ip) = @_;
    return IO::Socket::INET->new(Proto => 'udp', LocalAddr => $ip, LocalPort => 0)
        || die "bind on $ip: $!";
}
sub uri { my ($sock) = @_; return 'sip:' . $sock->sockhost . ':' . $sock->sockport }

my %sock = (
    caller => bound('127.0.0.2'),
    outside => bound($PROXY),
    inside => bound($PROXY),
    callee => bound('127.0.0.3'),
);

# Runs `work` in a child; it tells lines to the parent's handle. The child ends
# with its parent at the latest, when it has nobody to tell.
my %children;
sub child {
    my ($name, $work) = @_;
    pipe(my $read, my $write) or die "pipe: $!";
    my $pid = fork() // die "fork: $!";
    if ($pid == 0) {
        close $read;
        $write->autoflush;
        %children = ();
        my $ok = eval {
            $work->(sub { print {$write} "$_[0]\n" or die 'nobody listens' });
            1;
        };
        print STDERR "$name: $@" if !$ok;
        exec 'true';    # no clean-up of what belongs to the parent
    }
    close $write;
    $children{$name} = { pid => $pid, read => $read, buffer => '' };
    return;
}
END {
    my $status = $?;
    for my $child (values %children) {
        kill 'TERM', $child->{pid};
        waitpid $child->{pid}, 0;
    }
    $? = $status;
}

# The child's next line; 'nothing' when it tells none in time.
sub told {
    my ($name) = @_;
    my $child = $children{$name};
    my $until = time() + $PATIENCE_S;
    while ($child->{buffer} !~ /\n/) {
        my $left = $until - time();
        return 'nothing' if $left <= 0;
        next if !IO::Select->new($child->{read})->can_read($left);
        sysread($child->{read}, $child->{buffer}, 4096, length $child->{buffer})
            or return 'nothing';
    }
    $child->{buffer} =~ s/^(.*)\n//;
    return $1;
}

# The child's next line that is `wanted` or news: on a slow machine SIP repeats
# itself, and so do the lines.
my %seen = ('close undef' => 1);
sub news {
    my ($name, $wanted) = @_;
    while (1) {
        my $line = told($name);
        next if $seen{$line} && $line !~ $wanted;
        $seen{$line} = 1 if $line ne 'nothing';
        return $line;
    }
}
sub told_ok {
    my ($name, $wanted, $claim) = @_;
    my $line = news($name, $wanted);
    like($line, $wanted, $claim);
    return $line;
}

sub media_of {
    my ($call) = @_;
    my $sdp = $call->get_param('sdp_peer') or return 'none';
    return join ',', map { "$_->{addr}:$_->{port}/$_->{range}" } $sdp->get_media;
}

child(
    proxy => sub {
        my ($tell) = @_;
        my $outside = PartyLeg->new(sock => $sock{outside})->serve('127.0.0.2');
        my $inside = PartyLeg->new(sock => $sock{inside})->serve('127.0.0.3');
        my $proxy = Net::SIP::Simple->new(
            legs => [ $outside, $inside ],
            domain2proxy => { 'callee.test' => uri($sock{callee}) },
        );
        $proxy->create_stateless_proxy(
            nathelper => TellingHelper->new($socket, $tell));
        $tell->('ready');
        $proxy->loop;
    });

child(
    callee => sub {
        my ($tell) = @_;
        my $ua = Net::SIP::Simple->new(
            from => 'sip:callee@callee.test',
            leg => Net::SIP::Leg->new(sock => $sock{callee}),
        );
        my $heard = 0;
        my ($call, $hangs_up);
        $ua->listen(
            cb_create => sub {
                ($call, my $request) = @_;
                $heard = 0;
                # Whom one calls says who ends it.
                $hangs_up = $request->uri =~ /sip:short/;
                return 1;
            },
            cb_established => sub { $tell->('told ' . media_of($call)) },
            init_media => $ua->rtp('recv_echo', sub {
                if (++$heard == $PACKETS && $hangs_up) {
                    $call->bye(cb_final => sub { $tell->('hung up') });
                }
            }),
            recv_bye => sub { $tell->('ended') },
        );
        $tell->('ready');
        $ua->loop;
    });

is(told('proxy'), 'ready', 'the proxy is up');
is(told('callee'), 'ready', 'the callee is up');

my $caller = Net::SIP::Simple->new(
    from => 'sip:caller@caller.test',
    leg => Net::SIP::Leg->new(sock => $sock{caller}),
    outgoing_proxy => uri($sock{outside}),
);

sub whole_call {
    my ($user, $caller_hangs_up) = @_;
    my ($sent, $echoed, $wrong, $last) = (0, 0, 0, 0);
    my ($enough, $bye_received, $bye_sent);
    my $call = $caller->invite("sip:$user\@callee.test",
        init_media => $caller->rtp('send_recv',
            sub { ++$sent; return pack('N', $sent) . ("\xd5" x 156) },
            -1,
            sub {
                my ($payload) = @_;
                my ($number, $rest) = unpack('N a*', $payload);
                ++$wrong if $number <= $last || $rest ne "\xd5" x 156;
                $last = $number;
                $enough = 1 if ++$echoed >= $PACKETS;
            }),
        recv_bye => \$bye_received,
    );
    ok($call && !$call->error, 'the call is up') or return;

    # What the proxy asked of the helper, and what the parties were told.
    my $offered = told_ok('proxy', qr{^allocate 0 127\.0\.0\.1:\d+/2$},
        'ports for the offer');
    told_ok('proxy', qr/^activate undef$/, 'no session yet');
    my $answered = told_ok('proxy', qr{^allocate 1 127\.0\.0\.1:\d+/2$},
        'ports for the answer');
    told_ok('proxy', qr/^activate 1$/, 'active with the 200');
    told_ok('proxy', qr/^activate -1$/, 'active already with the ACK');
    my $to_callee = $offered =~ s/^allocate 0/told/r;
    told_ok('callee', qr/^\Q$to_callee\E$/, 'the callee sends to the relay');
    is(media_of($call), $answered =~ s/^allocate 1 //r, 'so does the caller');

    $caller->loop($PATIENCE_S, \$enough, \$bye_received);
    if ($caller_hangs_up) {
        $call->bye(cb_final => \$bye_sent);
        $caller->loop($PATIENCE_S, \$bye_sent);
        ok($bye_sent, 'the caller hung up');
        told_ok('callee', qr/^ended$/, 'the callee knows');
        cmp_ok($echoed, '>=', $PACKETS, 'what was said came back');
    } else {
        $caller->loop($PATIENCE_S, \$bye_received);
        ok($bye_received, 'the callee hung up');
        told_ok('callee', qr/^hung up$/, 'and knows that we know');
        cmp_ok($echoed, '>=', $PACKETS / 2, 'what was said came back');
    }
    is($wrong, 0, 'in order and unchanged');
    told_ok('proxy', qr/^close 1$/, 'one session closed');
    return;
}

subtest 'the caller hangs up' => sub { whole_call('long', 1) };
subtest 'the callee hangs up' => sub { whole_call('short', 0) };
subtest 'and once more' => sub { whole_call('long', 1) };

done_testing();
