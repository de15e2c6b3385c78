#ifndef SLUICE_TESTS_SIP_MESSAGES_H_
#define SLUICE_TESTS_SIP_MESSAGES_H_

#include <string>
#include <string_view>

#include "base/text.h"

// Messages for tests: the ordinary one, and what a test wants otherwise.
namespace sluice::sip {

struct RequestText {
  std::string_view start = "OPTIONS sip:bob@example.net SIP/2.0";
  std::string_view via = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n";
  std::string_view from = "From: <sip:alice@example.com>;tag=a\r\n";
  std::string_view to = "To: <sip:bob@example.net>\r\n";
  std::string_view call_id = "Call-ID: 1@example.com\r\n";
  std::string_view cseq = "CSeq: 7 OPTIONS\r\n";
  std::string_view more = "";  // whole lines
  std::string_view length = "Content-Length: 0\r\n";
  std::string_view body = "";

  std::string Text() const {
    return Cat(start, "\r\n", via, from, to, call_id, cseq, more, length,
               "\r\n", body);
  }
};

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_MESSAGES_H_
