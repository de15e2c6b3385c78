// What the clock drives: audio, digits, reports.
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "rtp/session_impl.h"

namespace sluice::rtp {

uint32_t SessionImpl::TimestampAt(Micros now) const {
  return timestamp_ +
         static_cast<uint32_t>((now - due_).us() * kSamplesPerMs / 1'000);
}

void SessionImpl::OnTick(Micros now) {
  now_ = now;
  if (window_.held() > 0) {
    window_.Expire(
        now, [this](uint32_t timestamp, std::span<const uint8_t> payload) {
          OnOrdered(timestamp, payload);
        });
  }
  SendDue(now);
  if (now >= report_due_) {
    SendReport(now, /*bye=*/false);
    PlanReport(now);
  }
}

void SessionImpl::SendDue(Micros now) {
  const Micros ptime = Micros::Millis(ptime_ms_);
  // After a stall: the clock of the stream has run on, its packets have not. So
  // the timestamp jumps and the sequence does not: nothing is lost (RFC 3550
  // 5.1), and no storm is sent.
  if (now - due_ > kBehindMax) {
    const int64_t missed = (now - due_).us() / ptime.us();
    timestamp_ += static_cast<uint32_t>(missed * samples());
    due_ = due_ + Micros(missed * ptime.us());
    marker_ = true;
  }
  while (due_ <= now) {
    if (agreed_.send) SendOne();
    timestamp_ += static_cast<uint32_t>(samples());
    due_ = due_ + ptime;
  }
}

void SessionImpl::SendOne() {
  std::array<uint8_t, kPayloadBytesMax> octets;
  const std::span<uint8_t> payload =
      std::span(octets).first(static_cast<size_t>(samples()));
  if (dtmf_.busy()) {
    // What was queued while events were agreed, or nobody knew yet.
    if (agreed_.event_type == 0) dtmf_.FallBack();
    if (dtmf_.method() == DtmfMethod::kInBand) {
      dtmf_.NextOctets(agreed_.codec, payload);
      SendRtp(agreed_.payload_type, std::exchange(marker_, false), timestamp_,
              payload);
    } else {
      if (const auto packet = dtmf_.NextEvent(timestamp_, samples())) {
        SendRtp(agreed_.event_type, packet->marker, packet->timestamp,
                EncodeEvent(packet->event));
      }
      marker_ = true;  // The audio's next packet begins a talkspurt.
    }
    while (Callback sent = dtmf_.TakeSent()) {
      Tell([sent = std::move(sent)] { sent(); });
    }
    return;
  }
  if (echo_ && echo_last_ != Micros() && now_ - echo_last_ < kEchoQuiet) return;
  FillAudio(payload);
  SendRtp(agreed_.payload_type, std::exchange(marker_, false), timestamp_,
          payload);
}

void SessionImpl::FillAudio(std::span<uint8_t> octets) {
  size_t filled = 0;
  if (source_ != nullptr && !echo_) {
    filled = std::min(source_->Read(agreed_.codec, octets), octets.size());
    if (filled < octets.size()) {
      source_.reset();
      if (on_end_) {
        Tell([this, number = source_number_,
              on_end = std::exchange(on_end_, Callback())] {
          if (number == source_number_) on_end();
        });
      }
    }
  }
  std::memset(octets.data() + filled, SilenceOctet(agreed_.codec),
              octets.size() - filled);
}

void SessionImpl::SendRtp(uint8_t payload_type, bool marker, uint32_t timestamp,
                          std::span<const uint8_t> payload) {
  std::array<uint8_t, kRtpHeaderBytes + kPayloadBytesMax> packet;
  WriteRtpHeader(
      {.ssrc = ssrc_, .timestamp = timestamp, .sequence = sequence_++},
      {.payload_type = payload_type, .marker = marker}, packet);
  std::memcpy(&packet[kRtpHeaderBytes], payload.data(), payload.size());
  if (sendto(ports_.rtp.get(), packet.data(), kRtpHeaderBytes + payload.size(),
             MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to_),
             to_length_) < 0) {
    ++drops_.unsent;
    return;
  }
  ++sent_.packets;
  sent_.octets += payload.size();
}

void SessionImpl::Echo(const RtpHeader& header, bool event, bool marker,
                       std::span<const uint8_t> payload, Micros now) {
  // Behind the silence that was sent before, which may reach a packet time
  // ahead of the clock.
  uint32_t clock = TimestampAt(now);
  if (static_cast<int32_t>(timestamp_ - clock) > 0) clock = timestamp_;
  const auto drift =
      static_cast<int32_t>(header.timestamp + echo_offset_ - clock);
  if (!echo_tied_ || drift > kEchoDriftMax || drift < -kEchoDriftMax) {
    echo_tied_ = true;
    echo_offset_ = clock - header.timestamp;
  }
  // What was not used is gone: an hour's silence is no leave for an hour at
  // once.
  const int64_t due = (now - echo_began_).us() * kSamplesPerMs / 1'000;
  if (echo_began_ == Micros() || echo_samples_ < due) {
    echo_began_ = now;
    echo_samples_ = 0;
  } else if (echo_samples_ > due + kEchoAheadMax) {
    ++drops_.too_fast;
    return;
  }
  echo_samples_ += std::max(static_cast<int64_t>(payload.size()),
                            int64_t{10} * kSamplesPerMs);
  echo_last_ = now;
  const uint32_t timestamp = header.timestamp + echo_offset_;
  if (event) {
    if (agreed_.event_type == 0) return;
    return SendRtp(agreed_.event_type, marker, timestamp, payload);
  }
  std::array<uint8_t, kPayloadBytesMax> octets;
  const std::span<uint8_t> ours = std::span(octets).first(payload.size());
  std::memcpy(ours.data(), payload.data(), payload.size());
  Transcode(heard_codec_, agreed_.codec, ours);
  SendRtp(agreed_.payload_type, marker, timestamp, ours);
}

// --- Reports ---------------------------------------------------------------

void SessionImpl::PlanReport(Micros now) {
  // RFC 3550 6.3.1: between half and one and a half of the interval, so that
  // many sessions that began together do not report together.
  const double part = 0.5 + static_cast<double>(Random64() >> 11) /
                                static_cast<double>(1ull << 53);
  report_due_ = now + Micros(static_cast<int64_t>(kReportSeconds * part /
                                                  kReportCompensation * 1e6));
}

void SessionImpl::SendReport(Micros now, bool bye) {
  // Who has neither spoken nor heard has nothing to report, and the address is
  // only what a message says.
  if (!options_.rtcp || (!heard_ && sent_.packets == reported_packets_)) return;
  Endpoint to = agreed_.remote_rtcp;
  if (to.is_none() || latched_) {
    to = remote();
    to.port = Port::FromHost(static_cast<uint16_t>(to.port.host() + 1));
  }
  sockaddr_storage address;
  const socklen_t length = to.ToSockaddr(family_, &address);
  if (length == 0 || to.ip.is_any() || to.port == Port()) return;

  RtcpOut report{.ssrc = ssrc_, .cname = options_.cname, .bye = bye};
  if (sent_.packets != reported_packets_) {
    reported_packets_ = sent_.packets;
    const uint64_t ntp = NtpOfUnix(now.us() + media_.wall_us_);
    report.sender = {.ntp = ntp,
                     .timestamp = TimestampAt(now),
                     .packets = static_cast<uint32_t>(sent_.packets),
                     .octets = static_cast<uint32_t>(sent_.octets)};
    our_reports_.OnSenderReport(static_cast<uint32_t>(ntp >> 16), now);
  }
  if (heard_) {
    const StreamQuality q = books_.Quality();
    const auto expected = static_cast<int64_t>(q.expected - block_expected_);
    const auto lost =
        expected - static_cast<int64_t>(q.received - block_received_);
    block_expected_ = q.expected;
    block_received_ = q.received;
    const int64_t fraction = expected > 0 && lost > 0
                                 ? std::min<int64_t>(lost * 256 / expected, 255)
                                 : 0;
    const int64_t waited = (now - peer_lsr_came_).us();
    report.block = {
        .ssrc = heard_ssrc_,
        .fraction_lost = static_cast<uint8_t>(fraction),
        .packets_lost = static_cast<int32_t>(
            std::clamp<int64_t>(q.lost, INT32_MIN, INT32_MAX)),
        .highest = highest_,
        .jitter = static_cast<uint32_t>(q.jitter_ms * kSamplesPerMs),
        .lsr = peer_lsr_,
        .dlsr = peer_lsr_ == 0
                    ? 0
                    : static_cast<uint32_t>(waited * 65'536 / 1'000'000)};
  }
  std::array<uint8_t, kRtcpOutBytesMax> packet;
  const size_t size = WriteRtcp(report, packet);
  // One that is lost is followed by another.
  if (sendto(ports_.rtcp.get(), packet.data(), size, MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&address), length) < 0) {
    ++drops_.unsent;
  }
}

}  // namespace sluice::rtp
