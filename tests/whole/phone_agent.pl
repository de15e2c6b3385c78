# A phone made of Net::SIP that plays and records raw PCMU, without a registrar.
# Tells what happens, a line each.
#
#   perl phone_agent.pl callee ADDRESS:PORT PLAY RECORD
#       answers a call; PLAY is played again and again, until the peer hangs up
#   perl phone_agent.pl caller ADDRESS:PORT PLAY RECORD URI [DIGITS [METHOD]]
#       calls, dials DIGITS (METHOD: rfc2833, audio), plays PLAY once, hangs up
#
# Each ends with its input, if not before.

use strict;
use warnings;

use IO::Handle;
use Net::SIP qw(:all);
use Net::SIP::Dispatcher::Eventloop;

my ($role, $at, $play, $record, $whom, $digits, $method) = @ARGV;
STDOUT->autoflush;
sub told { print "@_\n" }

my ($address, $port) = $at =~ /^\[?(.*?)\]?:(\d+)$/;
my $tcp = ($whom // '') =~ /transport=tcp/;
my $contact = "<sip:perl\@$at" . ($tcp ? ';transport=tcp' : '') . '>';
my $ua = Net::SIP::Simple->new(
    from => "sip:perl\@$at",
    contact => $contact,
    legs => $role eq 'callee'
        ? [ map { Net::SIP::Leg->new(addr => $address, port => $port, proto => $_) }
            'udp', 'tcp' ]
        : [ Net::SIP::Leg->new(
            addr => $address, port => $port, proto => $tcp ? 'tcp' : 'udp') ],
);
my $input = IO::Handle->new_from_fd(fileno(STDIN), 'r');
$ua->{loop}->addFD($input, EV_READ, sub { sysread($input, my $line, 100) or exit 0 });

# Events have no sound: only audio is recorded. What may have come before it is
# not left in the file.
open(my $sound, '>:raw', $record) or die "$record: $!";
$sound->autoflush;
my $write = sub {
    my ($payload, $sequence, $timestamp, $channel, $type) = @_;
    print $sound $payload if $type == 0;
};

my $over;
if ($role eq 'callee') {
    $ua->listen(
        init_media => $ua->rtp('send_recv', $play, -1, [ $write ]),
        cb_established => sub { told('established') },
        cb_dtmf => sub { told("digit $_[0]") },
        recv_bye => sub { told('bye'); $over = 1 },
    );
    told('ready');
    $ua->loop(undef, \$over) while !$over;
    exit 0;
}

my $played;
my $call = $ua->invite(
    $whom,
    init_media => $ua->rtp('send_recv', $play, 1, [ $write ]),
    cb_rtp_done => sub { $played = 1 },
    cb_dtmf => sub { told("digit $_[0]") },
    recv_bye => sub { told('bye'); $over = 1 },
);
if (!$call || $ua->error) { told('failed: ' . ($ua->error // '')); exit 1 }
told('established');
$call->dtmf($digits, methods => $method // 'rfc2833') if $digits;
$ua->loop(60, \$played, \$over);
told($played ? 'played' : 'cut off');
$ua->loop(0.2, \$over);
my $gone = $over;
$call->bye(cb_final => \$gone) if !$over;
$ua->loop(10, \$gone);
told('hung up');
