# A phone made of Net::SIP, for the programs here. Tells what happens, a line each.
#
#   perl sip_agent.pl ROLE ADDRESS:PORT PROXY URI PASSWORD [MORE...]
#
# Each registers first. PROXY is sip:address:port, with ;transport=tcp for TCP.
#
#   callee             echoes the media of each call, tells its DTMF digits
#   ringer             says 180 and no more
#   refuser CODE...    answers each call with the next CODE
#   deaf               answers nothing
#   caller WHOM PACKETS [DIGITS]
#                      calls, counts what comes back of PACKETS numbered packets,
#                      dials DIGITS, puts the call on hold and takes it back
#                      (re-INVITE), hangs up
#   talker WHOM        calls and talks
#   trier WHOM         calls and tells the final answer
#   canceller WHOM     calls, gives up when a line of input comes
#
# Each ends with its input, if not before.

use strict;
use warnings;

use IO::Handle;
use Net::SIP qw(:all);
use Net::SIP::Dispatcher::Eventloop;

my ($role, $at, $proxy, $uri, $password, @more) = @ARGV;
STDOUT->autoflush;
sub told { print "@_\n" }

my ($user) = $uri =~ /^sip:([^@]+)@/;
my ($address, $port) = $at =~ /^\[?(.*?)\]?:(\d+)$/;
my $tcp = $proxy =~ /transport=tcp/;
my $leg = Net::SIP::Leg->new(
    addr => $address, port => $port, proto => $tcp ? 'tcp' : 'udp');
# A Contact that Net::SIP makes lacks the transport, the brackets of an IPv6
# address, and those without which a parameter is the header's, not the URI's.
my $contact = "<sip:$user\@$at" . ($tcp ? ';transport=tcp' : '') . '>';
my $ua = Net::SIP::Simple->new(
    from => $uri,
    contact => $contact,
    leg => $leg,
    outgoing_proxy => $proxy,
    registrar => 'sip:example.com',
    auth => [ $user, $password ],
);

# Until `what` is true, or the test's patience is over.
sub wait_for {
    my ($what, $claim) = @_;
    my $until = time() + 30;
    while (!$what->()) {
        if (time() > $until) { told("waited in vain: $claim"); exit 1 }
        $ua->loop(0.1);
    }
}

sub media_of {
    my ($call) = @_;
    return join ',', map { "$_->{addr}:$_->{port}" }
        $call->get_param('sdp_peer')->get_media;
}

my $pressed;
my $input = IO::Handle->new_from_fd(fileno(STDIN), 'r');
$ua->{loop}->addFD($input, EV_READ, sub { sysread($input, $pressed, 100) or exit 0 });

my $expires = $ua->register(expires => 60);
told('registered ' . ($expires // 'not: ' . $ua->error));
exit 1 if !$expires;

if ($role =~ /^(?:callee|ringer|refuser|deaf)$/) {
    $ua->listen(
        cb_create => sub { told('invited'); 1 },
        filter => sub { told('hears nothing') if $role eq 'deaf'; $role ne 'deaf' },
        cb_invite => sub {
            my ($call, $invite) = @_;
            return $invite->create_response(200, 'OK', { contact => $contact },
                $call->get_param('sdp')) if $role eq 'callee';
            return $invite->create_response(180, 'Ringing') if $role eq 'ringer';
            my $code = shift @more;
            my %more = $code =~ /^3/ ? (contact => '<sip:carol@example.com>') : ();
            return $invite->create_response($code, 'As told', \%more);
        },
        cb_established => sub { told('media to ' . media_of($_[1])) },
        cb_dtmf => sub { told("digit $_[0]") },
        init_media => $ua->rtp('recv_echo'),
        recv_bye => sub { told('bye') },
    );
    told('ready');
    $ua->loop;
}

my ($whom, $packets, $digits) = @more;
if ($role eq 'trier' || $role eq 'canceller') {
    my ($final, $cancelled);
    my $call = Net::SIP::Simple::Call->new($ua, $whom, {
        init_media => $ua->rtp('recv_echo'),
        cb_preliminary => sub { my ($c, $code) = @_; told("heard $code") },
        cb_final => sub { my ($status, $c, %how) = @_; $final = $how{code} // $status },
    });
    $call->reinvite;
    if ($role eq 'canceller') {
        wait_for(sub { $pressed }, 'a line of input');
        $call->cancel(cb_final => \$cancelled);
        wait_for(sub { $cancelled }, 'an answer to the CANCEL');
        told('cancelled');
    }
    wait_for(sub { $final }, 'a final answer');
    told("answered $final");
    exit 0;
}

my ($sent, $back, $wrong, @dialled) = (0, 0, 0);
my %seen;
$packets //= 0;
my $call = $ua->invite(
    $whom,
    cb_dtmf => sub { push @dialled, $_[0] },
    init_media => $ua->rtp(
        'send_recv',
        # What is sent: numbered, so that what comes back can be told. An end
        # of the data would end the call, so from then on it is 0.
        [ sub { return pack('N', $sent < $packets ? ++$sent : 0) . ("\0" x 156) } ],
        -1,
        [ sub {
            my ($payload, $sequence, $timestamp, $channel, $type) = @_;
            return if $type != 0;
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
told('established, media to ' . media_of($call));
$ua->loop if $role eq 'talker';
wait_for(sub { $back >= $packets }, "echo of $packets packets, $back came");
told("echoed $back wrong $wrong");

if ($digits) {
    $call->dtmf($digits, methods => 'rfc2833');
    # The other side echoes the events, too.
    wait_for(sub { @dialled >= length $digits }, "echo of $digits, @dialled came");
    told('echoed digits ' . join '', @dialled);
}

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
