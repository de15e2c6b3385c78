#ifndef SLUICE_SIP_EDIT_H_
#define SLUICE_SIP_EDIT_H_

#include <string>
#include <string_view>
#include <vector>

#include "sip/message.h"

namespace sluice::sip {

// A copy of a message with named changes: octets that no change names are
// copied as they came (L7). The message and its octets outlive this; the texts
// of the changes are kept here.
//
// Changes may be made in any order; two inserts at the same place come out in
// the order in which they were made, and before what is taken out there. Taking
// a piece out twice is taking it out; replacing what another change replaces or
// takes out is a bug (CHECK).
//
// Thread: any; a value.
class Edit {
 public:
  // The message was not refused.
  explicit Edit(const Message& message);
  // The same changes to a copy of the message: equal octets, elsewhere.
  Edit(const Message& copy, const Edit& changes)
      : message_(copy),
        changes_(changes.changes_),
        texts_(changes.texts_),
        has_length_(changes.has_length_) {}

  // `piece` is a view into the message's octets.
  void Replace(std::string_view piece, std::string_view text);
  // The line ("Name: value" without its end) above all others of that name, or
  // where the headers end when there is none.
  void InsertHeaderOnTop(HeaderId id, std::string_view value);
  // Above `at`, a line of the message; below all headers when it is null.
  void InsertLine(const Header* at, std::string_view name,
                  std::string_view value);
  void AppendHeader(std::string_view name, std::string_view value);
  // The line(s) of every header of that id.
  void RemoveHeaders(HeaderId id);
  void RemoveLine(const Header& header);
  // The first value of a list header; its line when it is alone there. Always
  // counted in the message as it came: for several, `n` > 1 and not two calls.
  // Where there are fewer than `n`, all go.
  void RemoveFirst(HeaderId id, size_t n = 1);
  // Replaces the value of a single header, or appends it when there is none.
  // Repetitions of it, which had the same value, go.
  void SetHeader(HeaderId id, std::string_view value);
  // Body and Content-Length, once an edit. The type stays.
  void SetBody(std::string_view body);

  // The new message. Content-Length is made right when it was missing, and when
  // the body was set; else it is left as it came.
  std::string Apply() const;
  bool empty() const { return changes_.empty(); }

 private:
  struct Change {
    size_t at = 0;       // octets from the start
    size_t removed = 0;  // octets taken out there
    // What is put there, in texts_.
    size_t text = 0;
    size_t size = 0;
  };
  static bool Before(const Change& a, const Change& b);
  size_t OffsetOf(const char* p) const;
  template <typename... Pieces>
  void Add(size_t at, size_t removed, const Pieces&... pieces);

  const Message& message_;
  std::vector<Change> changes_;  // in the order in which they are applied
  std::string texts_;
  bool has_length_;  // Content-Length: there, or among the changes
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_EDIT_H_
