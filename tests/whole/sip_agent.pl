# A phone made of Net::SIP, for sip_test.py. Tells what happens, a line each.
#
#   perl sip_agent.pl callee ADDRESS PROXY URI PASSWORD
#   perl sip_agent.pl caller ADDRESS PROXY URI PASSWORD WHOM PACKETS
#
# The callee registers, echoes the media of each call and ends with its input.
# The caller registers, calls, counts what comes back of PACKETS numbered
# packets, puts the call on hold and takes it back (re-INVITE), hangs up. PROXY
# is sip:address:port, with ;transport=tcp for TCP.

use strict;
use warnings;

use IO::Handle;
use Net::SIP qw(:all);
use Net::SIP::Dispatcher::Eventloop;

my ($role, $address, $proxy, $uri, $password, $whom, $packets) = @ARGV;
STDOUT->autoflush;
sub told { print "@_\n" }

my ($user) = $uri =~ /^sip:([^@]+)@/;
my $tcp = $proxy =~ /transport=tcp/;
my $leg = Net::SIP::Leg->new(
    addr => $address, port => 0, proto => $tcp ? 'tcp' : 'udp');
# Net::SIP forgets the brackets of an IPv6 address in a Contact of its own.
my $host = $address =~ /:/ ? "[$address]" : $address;
my $ua = Net::SIP::Simple->new(
    from => $uri,
    contact => "sip:$user\@$host:" . $leg->{src}{port} . ($tcp ? ';transport=tcp' : ''),
    leg => $leg,
    outgoing_proxy => $proxy,
    registrar => 'sip:example.com',
    auth => [ $user, $password ],
);

# Until `what` is true, or the test's patience is over.
sub wait_for {
    my ($what, $claim) = @_;
    my $until = time() + 20;
    while (!$what->()) {
        if (time() > $until) { told("waited in vain: $claim"); exit 1 }
        $ua->loop(0.2);
    }
}

my $expires = $ua->register(expires => 60);
told('registered ' . ($expires // 'not: ' . $ua->error));
exit 1 if !$expires;

if ($role eq 'callee') {
    my $call;
    $ua->listen(
        cb_create => sub { $call = $_[0]; told('invited'); 1 },
        cb_established => sub {
            told('media to ' . join ',', map { "$_->{addr}:$_->{port}" }
                $call->get_param('sdp_peer')->get_media);
        },
        init_media => $ua->rtp('recv_echo'),
        recv_bye => sub { told('bye') },
    );
    told('ready');
    my $ended;
    my $input = IO::Handle->new_from_fd(fileno(STDIN), 'r');
    $ua->{loop}->addFD($input, EV_READ, sub { sysread($input, my $b, 1) or $ended = 1 });
    $ua->loop(undef, \$ended);
    exit 0;
}

my ($sent, $back, $wrong) = (0, 0, 0);
my %seen;
my $call = $ua->invite(
    $whom,
    init_media => $ua->rtp(
        'send_recv',
        # What is sent: numbered, so that what comes back can be told. An end
        # of the data would end the call, so from then on it is 0.
        [ sub { return pack('N', $sent < $packets ? ++$sent : 0) . ("\0" x 156) } ],
        -1,
        [ sub {
            my ($payload) = @_;
            my $number = unpack('N', $payload);
            if ($number >= 1 && $number <= $packets) {
                $back += !$seen{$number}++;
            } elsif ($number != 0) {
                $wrong++;
            }
        } ],
    ),
);
if (!$call || $ua->error) { told('call failed: ' . ($ua->error // '')); exit 1 }
told('established, media to ' . join ',', map { "$_->{addr}:$_->{port}" }
    $call->get_param('sdp_peer')->get_media);
wait_for(sub { $back >= $packets }, "echo of $packets packets, $back came");
told("echoed $back wrong $wrong");

my $answered;
$call->set_param(call_on_hold => 1);
$call->reinvite(cb_final => \$answered);
wait_for(sub { $answered }, 'an answer to the hold');
told("hold $answered");
$answered = undef;
$call->reinvite(cb_final => \$answered);
wait_for(sub { $answered }, 'an answer to the resume');
told("resume $answered");

my $gone;
$call->bye(cb_final => \$gone);
wait_for(sub { $gone }, 'an answer to the BYE');
told("hung up");
