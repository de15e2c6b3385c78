// Goal: no text makes a field's parser read outside it, loop, or take what it
// does not give back.
// Method: the first octet chooses the production, the rest is its text.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/text.h"
#include "sip/fields.h"
#include "sip/message.h"

namespace {

using namespace sluice::sip;

void CheckInside(std::string_view view, std::string_view whole) {
  if (view.empty()) return;
  CHECK(view.data() >= whole.data());
  CHECK(view.data() + view.size() <= whole.data() + whole.size());
}

void CheckParams(const Params& params, std::string_view text) {
  CheckInside(params.text(), text);
  size_t count = 0;
  std::string_view end = params.text().substr(0, 0);
  params.ForEach([&](std::string_view name, std::string_view value) {
    CheckInside(name, params.text());
    CheckInside(value, params.text());
    CHECK(!name.empty() && name.data() > end.data());
    end = value.empty() ? name : value;
    // The first of a name is the one that is found.
    const auto found = params.Get(name);
    CHECK(found);
    CHECK(found->empty() || value.empty() || found->data() <= value.data());
    ++count;
  });
  CHECK(count <= kParamsMax);
  CHECK((count == 0) == params.text().empty());
  CHECK(Params::Parse(params.text()));
}

void CheckVia(std::string_view text) {
  const auto via = Via::Parse(text);
  if (!via) return;
  for (const std::string_view part :
       {via->protocol, via->transport, via->host}) {
    CHECK(!part.empty());
    CheckInside(part, text);
  }
  CheckParams(via->params, text);
  CheckInside(via->branch, text);
  const auto to = via->ResponseAddress();
  CHECK(!to || to->port.host() != 0);
}

void CheckNameAddr(std::string_view text) {
  const auto name = NameAddr::Parse(text);
  if (!name) return;
  CheckInside(name->display, text);
  CheckInside(name->uri_text, text);
  CHECK(name->uri.text == name->uri_text && !name->uri_text.empty());
  CheckParams(name->params, text);
  CHECK(name->brackets || name->display.empty());
  // One value is not two, unless it is a list's last with a comma behind.
  std::string_view rest = text;
  NextListValue(&rest);
  CHECK(rest.empty());
}

void CheckCSeq(std::string_view text) {
  const auto cseq = CSeq::Parse(text);
  if (!cseq) return;
  CHECK(cseq->number <= kCSeqMax && !cseq->method.empty());
  CheckInside(cseq->method, text);
  const std::string plain = sluice::Cat(cseq->number, " ", cseq->method);
  const auto again = CSeq::Parse(plain);
  CHECK(again && again->number == cseq->number &&
        again->method == cseq->method);
}

void CheckMediaType(std::string_view text) {
  const auto media = MediaType::Parse(text);
  if (!media) return;
  CheckInside(media->type, text);
  CheckInside(media->subtype, text);
  CHECK(media->Is(media->type, media->subtype));
  CheckParams(media->params, text);
}

void CheckAuth(std::string_view text) {
  const auto auth = AuthValue::Parse(text);
  if (!auth) return;
  CheckInside(auth->scheme, text);
  CheckInside(auth->text, text);
  for (const std::string_view name :
       {"username", "realm", "nonce", "uri", "response", "nc", "qop"}) {
    const auto value = auth->Get(name);
    CHECK(!value || value->size() < auth->text.size());
  }
}

void CheckNumber(std::string_view text) {
  for (const uint64_t max : {uint64_t{0}, uint64_t{255}, UINT64_MAX}) {
    const auto number = ParseNumber(text, max);
    CHECK(!number || *number <= max);
    CHECK(!number || ParseNumber(sluice::Cat(*number), max) == number);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1,
                              size - 1);
  switch (data[0]) {
    case 'v': CheckVia(text); break;
    case 'n': CheckNameAddr(text); break;
    case 's': CheckCSeq(text); break;
    case 'm': CheckMediaType(text); break;
    case 'a': CheckAuth(text); break;
    case 'd': CheckNumber(text); break;
    case 'p':
      if (const auto params = Params::Parse(text)) CheckParams(*params, text);
      break;
    default: CHECK(Unquote(text).size() <= text.size());
  }
  return 0;
}
