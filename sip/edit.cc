#include "sip/edit.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "sip/cursor.h"

namespace sluice::sip {
namespace {

// Via, Max-Forwards, Record-Route, Route, Request-URI, Contact, body, length.
constexpr size_t kUsualChanges = 8;

}  // namespace

Edit::Edit(const Message& message)
    : message_(message),
      has_length_(message.Find(HeaderId::kContentLength) != nullptr) {
  changes_.reserve(kUsualChanges);
}

size_t Edit::OffsetOf(const char* p) const {
  const std::string_view octets = message_.octets();
  CHECK(p >= octets.data() && p <= octets.data() + octets.size());
  return static_cast<size_t>(p - octets.data());
}

void Edit::Replace(std::string_view piece, std::string text) {
  changes_.push_back({OffsetOf(piece.data()), piece.size(), std::move(text)});
}

void Edit::Insert(size_t at, std::string text) {
  changes_.push_back({at, 0, std::move(text)});
}

void Edit::InsertHeaderOnTop(HeaderId id, std::string_view value) {
  InsertLine(message_.Find(id), NameOf(id), value);
}

void Edit::InsertLine(const Header* at, std::string_view name,
                      std::string_view value) {
  Insert(OffsetOf(at == nullptr ? message_.headers_end() : at->line.data()),
         Cat(name, ": ", value, "\r\n"));
}

void Edit::AppendHeader(std::string_view name, std::string_view value) {
  InsertLine(nullptr, name, value);
}

void Edit::RemoveHeaders(HeaderId id) {
  for (const Header& h : message_.headers()) {
    if (h.id == id) RemoveLine(h);
  }
}

void Edit::RemoveLine(const Header& header) { Replace(header.line, ""); }

void Edit::RemoveFirst(HeaderId id, size_t n) {
  for (const Header& h : message_.headers()) {
    if (n == 0) return;
    if (h.id != id || h.value.empty()) continue;
    std::string_view rest = h.value;
    if (FormOf(id) == HeaderForm::kList) {
      for (; n != 0 && !rest.empty(); --n) NextListValue(&rest);
    } else {
      rest = {};
      --n;
    }
    while (!rest.empty() && kLws.Has(rest.front())) rest.remove_prefix(1);
    if (rest.empty()) {
      RemoveLine(h);
    } else {
      // The values go with their commas; the line keeps what stood before them.
      Replace(h.value.substr(0, h.value.size() - rest.size()), "");
    }
  }
}

void Edit::SetHeader(HeaderId id, std::string_view value) {
  const Header* first = message_.Find(id);
  if (first == nullptr) return AppendHeader(NameOf(id), value);
  Replace(first->value, std::string(value));
  // Repetitions with the same value were let pass; now they would contradict.
  for (const Header& h : message_.headers()) {
    if (h.id == id && &h != first) RemoveLine(h);
  }
}

void Edit::SetBody(std::string body) {
  SetHeader(HeaderId::kContentLength, Cat(body.size()));
  Replace(message_.body(), std::move(body));
  has_length_ = true;
}

std::string Edit::Apply() const {
  const std::string_view octets = message_.octets();
  Change length{OffsetOf(message_.headers_end()), 0, ""};
  if (!has_length_) {
    length.text = Cat(NameOf(HeaderId::kContentLength), ": ",
                      message_.body().size(), "\r\n");
  }
  std::vector<const Change*> order;
  order.reserve(changes_.size() + 1);
  size_t size = octets.size() + length.text.size();
  for (const Change& change : changes_) {
    order.push_back(&change);
    size += change.text.size();
  }
  order.push_back(&length);
  // What is put in at a place goes before what is taken out there.
  std::stable_sort(
      order.begin(), order.end(), [](const Change* a, const Change* b) {
        return a->at != b->at ? a->at < b->at
                              : (a->removed == 0) > (b->removed == 0);
      });

  std::string out;
  out.reserve(size);
  size_t copied = 0, replaced = 0;
  for (const Change* change : order) {
    if (change->at > copied) {
      out.append(octets.substr(copied, change->at - copied));
      copied = change->at;
    }
    if (change->removed != 0) {
      // Taking out twice is taking out; anything else would lose a text.
      CHECK(change->at >= (change->text.empty() ? replaced : copied));
      copied = std::max(copied, change->at + change->removed);
      if (!change->text.empty()) replaced = copied;
    }
    out += change->text;
  }
  out.append(octets.substr(copied));
  return out;
}

}  // namespace sluice::sip
