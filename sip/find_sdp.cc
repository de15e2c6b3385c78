#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/text.h"
#include "sip/cursor.h"
#include "sip/fields.h"
#include "sip/sdp.h"

namespace sluice::sip {
namespace {

constexpr size_t kBoundaryOctetsMax = 70;  // RFC 2046 5.1.1
constexpr int kPartsMax = 16;
constexpr int kDepthMax = 2;  // a multipart in a multipart

// A line off `rest`, without its end.
std::string_view TakeLine(std::string_view* rest) {
  const size_t lf = rest->find('\n');
  std::string_view line = rest->substr(0, lf);
  rest->remove_prefix(lf == std::string_view::npos ? rest->size() : lf + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

struct Part {
  std::string type;  // of its headers, folds taken out; "" : none
  bool plain = true;
  std::string_view content;
};

// RFC 2045 3: headers, an empty line, the content.
Part SplitPart(std::string_view text) {
  Part part;
  std::string header;
  const auto finish = [&] {
    const std::string_view all = header;
    const size_t colon = std::min(all.find(':'), all.size());
    const std::string_view name = Trim(all.substr(0, colon));
    const std::string_view value =
        Trim(all.substr(std::min(colon + 1, all.size())));
    if (EqualsNoCase(name, "Content-Type")) part.type = value;
    if (EqualsNoCase(name, "Content-Transfer-Encoding")) {
      part.plain = EqualsNoCase(value, "7bit") || EqualsNoCase(value, "8bit") ||
                   EqualsNoCase(value, "binary");
    }
    header.clear();
  };
  while (!text.empty()) {
    const std::string_view line = TakeLine(&text);
    if (line.empty()) break;
    if (line.front() != ' ' && line.front() != '\t') finish();
    header += line;
  }
  finish();
  part.content = text;
  return part;
}

// Calls visit(part) for each of a multipart body; what is before the first
// delimiter and behind the last is nobody's. A body that ends without the
// closing delimiter ends its last part. False when there are too many.
template <typename Visit>
bool ForEachPart(std::string_view body, std::string_view boundary,
                 Visit&& visit) {
  const std::string delimiter = "--" + std::string(boundary);
  std::optional<size_t> begin;  // of the part that is open
  int parts = 0;
  std::string_view rest = body;
  while (true) {
    const size_t at = body.size() - rest.size();
    const bool over = rest.empty();
    std::string_view line = TakeLine(&rest);
    const bool hit = line.starts_with(delimiter);
    if (hit) line.remove_prefix(delimiter.size());
    const bool closing = hit && line.starts_with("--");
    if (closing) line.remove_prefix(2);
    // White space behind it belongs to the delimiter (RFC 2046 5.1.1).
    if (!over && !(hit && Trim(line).empty())) continue;
    if (begin) {
      // The line's end before a delimiter belongs to the delimiter.
      std::string_view part = body.substr(*begin, at - *begin);
      if (!over && part.ends_with('\n')) part.remove_suffix(1);
      if (!over && part.ends_with('\r')) part.remove_suffix(1);
      if (++parts > kPartsMax) return false;
      visit(part);
    }
    if (over || closing) return true;
    begin = body.size() - rest.size();
  }
}

struct Found {
  int count = 0;
  std::string_view where;
};

void Find(std::string_view type_text, std::string_view body, int depth,
          Found* found) {
  const auto type = MediaType::Parse(type_text);
  if (!type) return;
  if (type->Is("application", "sdp")) {
    ++found->count;
    found->where = body;
    return;
  }
  if (!EqualsNoCase(type->type, "multipart") || depth == kDepthMax) return;
  const std::string boundary =
      Unquote(type->params.Get("boundary").value_or(""));
  if (boundary.empty() || boundary.size() > kBoundaryOctetsMax) return;
  const bool all = ForEachPart(body, boundary, [&](std::string_view part_text) {
    const Part part = SplitPart(part_text);
    if (part.plain) Find(part.type, part.content, depth + 1, found);
  });
  // Behind the parts that were looked at there may be another.
  if (!all) found->count += 2;
}

}  // namespace

std::optional<std::string_view> FindSdp(std::string_view content_type,
                                        std::string_view body) {
  if (Trim(body).empty()) return std::nullopt;
  if (Trim(content_type).empty()) return body;
  Found found;
  Find(content_type, body, 0, &found);
  if (found.count == 0) return std::nullopt;
  return found.count == 1 ? found.where : body.substr(0, 0);
}

}  // namespace sluice::sip
