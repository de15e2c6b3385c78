// What the peer does, and who only says that it is the peer.
#include <algorithm>
#include <utility>

#include "rtp/session_impl.h"

namespace sluice::rtp {

std::optional<Codec> SessionImpl::CodecOf(uint8_t payload_type) const {
  if (agreed_.receives.empty() && payload_type == agreed_.payload_type) {
    return agreed_.codec;
  }
  for (const Agreed::Format& format : agreed_.receives) {
    if (format.payload_type == payload_type) return format.codec;
  }
  return std::nullopt;
}

bool SessionImpl::IsPeer(const Endpoint& from) const {
  if (latched_) return from == latch_;
  return from.ip == agreed_.remote.ip;
}

void SessionImpl::OnRtp(const Endpoint& from, std::span<const uint8_t> packet,
                        bool cut, Micros now) {
  now_ = now;
  if (!started_ || !agreed_.receive) {
    ++drops_.not_agreed;
    return;
  }
  const bool open = options_.latch && !latched_;
  if (open ? options_.may_latch && !options_.may_latch(from) : !IsPeer(from)) {
    ++drops_.strangers;
    return;
  }
  const auto header = cut ? std::nullopt : ParseRtp(packet);
  if (!header) {
    ++drops_.malformed;
    return;
  }
  const std::span<const uint8_t> payload = RtpPayload(packet);
  if (payload.size() > kPayloadBytesMax) {
    ++drops_.malformed;
    return;
  }
  const uint8_t type = PayloadType(packet);
  const uint8_t event_type = agreed_.receive_event_type != 0
                                 ? agreed_.receive_event_type
                                 : agreed_.event_type;
  const bool event = event_type != 0 && type == event_type;
  const std::optional<Codec> codec = CodecOf(type);
  const bool ours = event || codec;
  if (!ours) {
    ++drops_.other_types;
    // Comfort noise has its place in the order all the same; a stream of its
    // own has not.
    if (open || !heard_ || header->ssrc != heard_ssrc_) return;
  }
  if (open) {
    latched_ = true;
    latch_ = from;
    to_length_ = latch_.ToSockaddr(family_, &to_);
  }
  if (!heard_ || header->ssrc != heard_ssrc_) OnNewSource(*header);
  books_.OnRtp(*header, now);
  // A number that the books do not believe is none of ours.
  highest_ +=
      static_cast<uint16_t>(books_.highest() - static_cast<uint16_t>(highest_));
  last_heard_ = now;
  if (ours) {
    ++received_.packets;
    received_.octets += payload.size();
    if (event) OnEventPacket(*header, payload);
    if (!event && *codec != heard_codec_) {
      FlushHeld();
      heard_codec_ = *codec;
      detector_.Reset();
    }
    // A digit of ours has the word.
    if (echo_ && agreed_.send && !dtmf_.busy()) {
      Echo(*header, event, (packet[1] & 0x80) != 0, payload, now);
    }
  }
  const bool audio = ours && !event;
  const bool taken = window_.Push(
      *header, audio ? payload : std::span<const uint8_t>(), now,
      [this](uint32_t timestamp, std::span<const uint8_t> in_order) {
        OnOrdered(timestamp, in_order);
      });
  if (!taken) ++drops_.late;
}

void SessionImpl::OnNewSource(const RtpHeader& header) {
  FlushHeld();
  timeline_.Restart();
  events_.Reset();
  heard_ = true;
  heard_ssrc_ = header.ssrc;
  highest_ = header.sequence;
  peer_lsr_ = 0;
  echo_tied_ = false;
}

void SessionImpl::OnEventPacket(const RtpHeader& header,
                                std::span<const uint8_t> payload) {
  const auto event = DecodeEvent(payload);
  if (!event) return;
  const auto digit = events_.OnEvent(header.timestamp, *event);
  if (!digit) return;
  // Nobody dials faster for long, whatever the packets say.
  digit_due_ = std::max(digit_due_, now_ - kDigitsAhead);
  if (digit_due_ > now_) {
    ++drops_.too_fast;
    return;
  }
  digit_due_ = digit_due_ + kDigitEvery;
  TellDigit(*digit, DtmfMethod::kRfc4733);
}

void SessionImpl::TellDigit(char digit, DtmfMethod method) {
  if (on_digit_ == nullptr) return;
  Tell([on_digit = on_digit_, digit, method] { (*on_digit)(digit, method); });
}

void SessionImpl::FlushHeld() {
  now_ = media_.loop().now();
  window_.Flush([this](uint32_t timestamp, std::span<const uint8_t> payload) {
    OnOrdered(timestamp, payload);
  });
}

void SessionImpl::OnOrdered(uint32_t timestamp,
                            std::span<const uint8_t> payload) {
  const Timeline::Fate fate = timeline_.Put(
      timestamp, payload, SilenceOctet(heard_codec_), now_,
      [this](std::span<const uint8_t> octets) { OnSamples(octets); });
  if (fate == Timeline::Fate::kLate) ++drops_.late;
  if (fate == Timeline::Fate::kTooFast) ++drops_.too_fast;
}

void SessionImpl::OnSamples(std::span<const uint8_t> octets) {
  if (sink_ != nullptr) sink_->Write(heard_codec_, octets);
  if (on_digit_ == nullptr || !options_.hear_in_band) return;
  detector_.Feed(heard_codec_, octets,
                 [this](char digit) { TellDigit(digit, DtmfMethod::kInBand); });
}

void SessionImpl::OnRtcp(const Endpoint& from, std::span<const uint8_t> packet,
                         Micros now) {
  // Any port of the peer's address: where its RTCP comes from is not said.
  if (!started_ || from.ip != remote().ip) {
    ++drops_.strangers;
    return;
  }
  if (!ValidRtcp(packet)) {
    ++drops_.malformed;
    return;
  }
  const RtcpReports reports = ReadRtcpReports(packet);
  if (reports.sender && heard_ && reports.sender->ssrc == heard_ssrc_) {
    peer_lsr_ = reports.sender->ntp_middle;
    peer_lsr_came_ = now;
  }
  for (size_t i = 0; i < reports.block_count; ++i) {
    const RtcpReports::Block& block = reports.blocks[i];
    if (block.ssrc != ssrc_) continue;
    peer_report_.heard = now;
    peer_report_.fraction_lost = block.fraction_lost / 256.0;
    peer_report_.packets_lost = block.packets_lost;
    peer_report_.jitter_ms = static_cast<double>(block.jitter) / kSamplesPerMs;
    if (const uint32_t us = our_reports_.RoundTrip(block.lsr, block.dlsr, now);
        us != 0) {
      peer_report_.rtt_ms = us / 1'000.0;
    }
  }
}

}  // namespace sluice::rtp
