// Goal: no octets make the parser read outside them or fail otherwise than by
// refusing; what it takes is views into the input, has what a message must
// have, and goes out as it came in (L7), but for the values that an edit names.
// Method: the input as a datagram.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "sip/edit.h"
#include "sip/fields.h"
#include "sip/message.h"
#include "sip/uri.h"

namespace {

using sluice::sip::Edit;
using sluice::sip::Header;
using sluice::sip::HeaderId;
using sluice::sip::Message;
using sluice::sip::NameAddr;
using sluice::sip::Uri;
using sluice::sip::Via;

void CheckInside(std::string_view view, std::string_view whole) {
  if (view.data() == nullptr) {
    CHECK(view.empty());
    return;
  }
  CHECK(view.data() >= whole.data());
  CHECK(view.data() + view.size() <= whole.data() + whole.size());
}

// Of any message, refused or not.
void CheckViews(const Message& m, std::string_view input) {
  for (const std::string_view view : {m.octets(), m.start_line(), m.body(),
                                      m.uri(), m.method_text(), m.reason()}) {
    CheckInside(view, input);
  }
  CHECK(m.headers().size() <= sluice::sip::kHeadersMax);
  const char* end = m.start_line().data() + m.start_line().size();
  for (const Header& h : m.headers()) {
    CheckInside(h.line, input);
    CheckInside(h.name, h.line);
    CheckInside(h.value, h.line);
    CHECK(h.line.data() >= end);
    end = h.line.data() + h.line.size();
    CHECK(h.line.ends_with('\n') && !h.name.empty());
    CHECK(sluice::sip::HeaderIdOf(h.name) == h.id);
    CHECK(m.Find(h.id) != nullptr &&
          m.Find(h.id)->line.data() <= h.line.data());
    // A list ends, each value inside it and behind the one before.
    std::string_view rest = h.value;
    while (!rest.empty()) {
      const size_t before = rest.size();
      CheckInside(sluice::sip::NextListValue(&rest), h.value);
      CheckInside(rest, h.value);
      CHECK(rest.size() < before);
    }
  }
}

void CheckAccepted(const Message& m, std::string_view input) {
  CHECK(!m.call_id().empty());
  CHECK(m.cseq() <= sluice::sip::kCSeqMax);
  CHECK(m.max_forwards() >= -1 && m.max_forwards() <= 255);
  CHECK(m.expires() >= -1 && m.expires() <= int64_t{UINT32_MAX});
  CHECK(!m.method_text().empty());
  CHECK(sluice::sip::MethodOf(m.method_text()) == m.method());
  CHECK(m.is_response() == (m.status() >= 100 && m.status() <= 699));
  CHECK(m.is_request() == m.Answerable());
  if (m.is_request()) CHECK(Uri::Parse(m.uri())->headers.empty());
  CHECK(NameAddr::Parse(m.Value(HeaderId::kFrom)));
  CHECK(NameAddr::Parse(m.Value(HeaderId::kTo)));
  const size_t vias = m.Count(HeaderId::kVia);
  CHECK(vias >= 1 && vias <= sluice::sip::kViasMax);
  for (size_t i = 0; i < vias; ++i) {
    const auto via = Via::Parse(m.Nth(HeaderId::kVia, i));
    CHECK(via);
    if (!via->branch.empty()) CheckInside(via->branch, input);
  }
  // Nothing but text in front of the body; a CR only before its LF.
  const std::string_view octets = m.octets();
  const auto head = static_cast<size_t>(m.headers_end() - octets.data());
  CHECK(head < octets.size());
  for (size_t i = 0; i < head; ++i) {
    if (octets[i] == '\r') {
      CHECK(octets[i + 1] == '\n');
    } else if (static_cast<uint8_t>(octets[i]) < 0x20 && octets[i] != '\n' &&
               octets[i] != '\t') {
      CHECK(octets[i - 1] == '\\');
    }
  }
}

void CheckEdits(const Message& m) {
  const std::string_view octets = m.octets();
  const std::string same = Edit(m).Apply();
  if (m.Find(HeaderId::kContentLength) != nullptr) {
    CHECK(same == octets);
  } else {
    CHECK(same.size() > octets.size() && same.ends_with(m.body()));
    CHECK(same.starts_with(m.start_line()));
  }

  // What is written is a message again, with what was asked for.
  const std::string top(m.Nth(HeaderId::kVia, 0));
  Edit edit(m);
  edit.InsertHeaderOnTop(HeaderId::kVia, "SIP/2.0/UDP 192.0.2.1;branch=ours");
  edit.SetHeader(HeaderId::kMaxForwards, "9");
  edit.RemoveFirst(HeaderId::kRoute, 2);
  edit.SetBody("new");
  edit.AppendHeader("X-Last", "1");
  const std::string text = edit.Apply();
  Message again;
  const auto refusal = again.Parse(text);
  // The caps are the only thing that one more line can break.
  const bool full = m.headers().size() + 4 > sluice::sip::kHeadersMax ||
                    m.Count(HeaderId::kVia) == sluice::sip::kViasMax ||
                    text.size() > sluice::sip::kMessageOctetsMax;
  CHECK(!refusal || full);
  if (refusal) return;
  CHECK(again.octets() == text && again.body() == "new");
  CHECK(again.max_forwards() == 9);
  CHECK(again.Count(HeaderId::kVia) == m.Count(HeaderId::kVia) + 1);
  CHECK(again.Nth(HeaderId::kVia, 1) == top);
  const size_t routes = m.Count(HeaderId::kRoute);
  CHECK(again.Count(HeaderId::kRoute) == routes - std::min<size_t>(routes, 2));

  // And without it the top is as it was.
  Edit back(again);
  back.RemoveFirst(HeaderId::kVia);
  const std::string returned = back.Apply();
  Message once;
  CHECK(!once.Parse(returned));
  CHECK(once.Nth(HeaderId::kVia, 0) == top);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  Message m;
  const auto refusal = m.Parse(input);
  CheckViews(m, input);
  if (refusal) {
    CHECK(refusal.code >= 400 && refusal.code < 700);
    CHECK(!m.Answerable() || (m.is_request() && !m.method_text().empty()));
    return 0;
  }
  CheckAccepted(m, input);
  CheckEdits(m);
  return 0;
}
