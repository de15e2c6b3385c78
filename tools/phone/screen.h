#ifndef SLUICE_TOOLS_PHONE_SCREEN_H_
#define SLUICE_TOOLS_PHONE_SCREEN_H_

#include <string>
#include <string_view>

namespace sluice::phone {

// Standard error while calls run: lines of progress, and on a terminal a last
// line that is drawn again and again.
class Screen {
 public:
  explicit Screen(bool quiet);
  ~Screen() { Clear(); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Nobody looks at it unless this is true.
  bool live() const { return live_; }
  // What of it a terminal obeys is escaped: much is a peer's text.
  void Line(std::string_view text);
  void Live(std::string_view text);
  // What --trace shows of a message: as it is, but for what a terminal obeys.
  void Message(std::string_view head, std::string_view octets);
  void Clear();

 private:
  bool quiet_, live_;
  bool drawn_ = false;
};

}  // namespace sluice::phone

#endif  // SLUICE_TOOLS_PHONE_SCREEN_H_
