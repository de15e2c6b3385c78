// Goal: no text makes the URI parser read outside it; what it takes has one
// spelling as a key, is equal to itself, and stays what it is when it is put
// into a header.
// Method: the input as a URI, and as two with a line end between them.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/text.h"
#include "sip/fields.h"
#include "sip/message.h"
#include "sip/uri.h"

namespace {

using sluice::Cat;
using sluice::sip::NameAddr;
using sluice::sip::SameUri;
using sluice::sip::Uri;

void CheckInside(std::string_view view, std::string_view whole) {
  if (view.empty()) return;
  CHECK(view.data() >= whole.data());
  CHECK(view.data() + view.size() <= whole.data() + whole.size());
}

void CheckUri(const Uri& uri, std::string_view text) {
  CHECK(uri.text == text && text.size() <= sluice::sip::kUriOctetsMax);
  for (const std::string_view part : {uri.scheme_text, uri.user, uri.password,
                                      uri.host, uri.params, uri.headers}) {
    CheckInside(part, text);
  }
  for (const char c : text) CHECK(c > ' ' && c < 0x7f && c != '<' && c != '>');
  CHECK(uri.has_user == !uri.user.empty());
  CHECK(uri.is_sip() == !uri.host.empty());
  CHECK(!uri.ip() || uri.is_sip());
  CHECK(SameUri(uri, uri));
  if (const auto value = uri.Param("maddr")) CheckInside(*value, text);

  const std::string key = AddressOfRecord(uri);
  CHECK(key.empty() == !uri.is_sip());
  // A key may be longer than its URI, by what it escapes.
  if (!key.empty() && key.size() <= sluice::sip::kUriOctetsMax) {
    const auto again = Uri::Parse(key);
    CHECK(again && again->has_user == uri.has_user);
    // 5061 is the default of sips only.
    if (uri.port == 0) CHECK(AddressOfRecord(*again) == key);
  }

  const std::string in_header = Cat("\"x\" <", text, ">;tag=1");
  const auto name = NameAddr::Parse(in_header);
  CHECK(name && name->uri_text == text && name->tag == "1");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto uri = Uri::Parse(text)) CheckUri(*uri, text);

  const size_t cut = text.find('\n');
  if (cut != std::string_view::npos) {
    const auto a = Uri::Parse(text.substr(0, cut));
    const auto b = Uri::Parse(text.substr(cut + 1));
    if (a && b) {
      const bool same = SameUri(*a, *b);
      CHECK(same == SameUri(*b, *a));
      CHECK(!same || AddressOfRecord(*a) == AddressOfRecord(*b));
    }
  }

  const std::string plain = sluice::sip::Unescape(text);
  CHECK(plain.size() <= text.size());
  CHECK(sluice::sip::Unescape(sluice::sip::EscapeUser(text)) == text);
  return 0;
}
