#ifndef SLUICE_TOOLS_CTL_CLIENT_H_
#define SLUICE_TOOLS_CTL_CLIENT_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"
#include "nlohmann/json.hpp"

namespace sluice::ctl {

using Json = nlohmann::ordered_json;

// What sluicectl ends with; scripts depend on the numbers.
enum ExitCode : int {
  kDone = 0,
  kRefused = 1,  // the server said no
  kUsage = 2,
  kCannotReach = 3,
  kNotFound = 4,
  kTimeout = 5,
};

// Where a daemon is asked: a UNIX socket, or a TCP address.
struct Server {
  std::string socket;  // path; empty: TCP
  std::string host;
  int port = 0;
};
// PATH (anything with a '/'), unix:PATH, http://HOST[:PORT] or HOST:PORT;
// nullopt for anything else.
std::optional<Server> ParseServer(std::string_view text);
// The default of -s, by the daemon's own rule (control/runtime_folder.h).
std::string DefaultSocket();

// What became of one question.
struct Reply {
  ExitCode code = kDone;
  std::string error;  // in plain words, safe to print, when code != kDone
  Json json{};        // the answer
};

// Asks one daemon, one question a connection. Never throws, never waits longer
// than the timeout for the next octet.
class Client {
 public:
  Client(Server server, Micros timeout)
      : server_(std::move(server)), timeout_(timeout) {}

  Reply Get(const std::string& path) const { return Ask("GET", path, ""); }
  Reply Post(const std::string& path, const Json& body) const;
  Reply Delete(const std::string& path) const {
    return Ask("DELETE", path, "");
  }
  // An answer that is no JSON and comes as time goes by, for `longest` at most:
  // each part of it to `take`, which may end it by saying false. The answer's
  // head is told first: Reply::json has its `capture`. `stop`: becomes readable
  // when it is to end; -1: never. Both are a good end.
  Reply Stream(const std::string& path, Micros longest, int stop,
               const std::function<bool(std::string_view)>& take) const;

 private:
  Reply Ask(const std::string& method, const std::string& path,
            const std::string& body) const;

  Server server_;
  Micros timeout_;
};

}  // namespace sluice::ctl

#endif  // SLUICE_TOOLS_CTL_CLIENT_H_
