#include "control/config.h"

#include <fcntl.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <type_traits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/net/fd.h"
#include "base/status_macros.h"
#include "control/config_values.h"

namespace sluice::control {
namespace {

enum When : bool { kRestart = false, kLive = true };

struct Key {
  const char* name;
  When when;
  const char* help;
};

// Options<Section>::Each(visit) calls visit(Key, &Section::field, rule) for
// every key of a section.
template <typename Section>
struct Options;

#define VISIT(Section, key, rule, when, help) \
  visit(Key{#key, when, help}, &Section::key, rule);

#define LOG_OPTION(type, key, initial, rule, when, help) \
  VISIT(Config::Log, key, rule, when, help)
template <>
struct Options<Config::Log> {
  template <typename Visit>
  static void Each(Visit&& visit) {
#include "control/options.def"
  }
};
#define RELAY_OPTION(type, key, initial, rule, when, help) \
  VISIT(Config::Relay, key, rule, when, help)
template <>
struct Options<Config::Relay> {
  template <typename Visit>
  static void Each(Visit&& visit) {
#include "control/options.def"
  }
};
#define INTERFACE_OPTION(type, key, initial, rule, when, help) \
  VISIT(InterfaceConfig, key, rule, when, help)
template <>
struct Options<InterfaceConfig> {
  template <typename Visit>
  static void Each(Visit&& visit) {
#include "control/options.def"
  }
};
#define NATHELPER_OPTION(type, key, initial, rule, when, help) \
  VISIT(Config::NatHelper, key, rule, when, help)
template <>
struct Options<Config::NatHelper> {
  template <typename Visit>
  static void Each(Visit&& visit) {
#include "control/options.def"
  }
};
#define HTTP_OPTION(type, key, initial, rule, when, help) \
  VISIT(Config::Http, key, rule, when, help)
template <>
struct Options<Config::Http> {
  template <typename Visit>
  static void Each(Visit&& visit) {
#include "control/options.def"
  }
};
#define CONTROL_OPTION(type, key, initial, rule, when, help) \
  VISIT(Config::Control, key, rule, when, help)
template <>
struct Options<Config::Control> {
  template <typename Visit>
  static void Each(Visit&& visit) {
#include "control/options.def"
  }
};
#define PROCESS_OPTION(type, key, initial, rule, when, help) \
  VISIT(Config::Process, key, rule, when, help)
template <>
struct Options<Config::Process> {
  template <typename Visit>
  static void Each(Visit&& visit) {
#include "control/options.def"
  }
};
#undef VISIT

// visit(name, &Config::section) for each, in the order of printing. The
// interfaces come after `relay`, as its array of tables.
template <typename Visit>
void EachSection(Visit&& visit) {
  visit("log", &Config::log);
  visit("relay", &Config::relay);
  visit("nathelper", &Config::nathelper);
  visit("http", &Config::http);
  visit("control", &Config::control);
  visit("process", &Config::process);
}

template <typename Section>
using OptionsOf = Options<std::remove_cvref_t<Section>>;

constexpr const char kInterfaceSection[] = "relay.interface";
constexpr const char kInterfaceKey[] = "interface";

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j < row.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row.back();
}

std::string Nearest(std::string_view word,
                    const std::vector<std::string>& known) {
  return *std::min_element(
      known.begin(), known.end(), [word](const auto& a, const auto& b) {
        return EditDistance(word, a) < EditDistance(word, b);
      });
}

// One reading of one file: collects what is wrong with it.
class Reader {
 public:
  explicit Reader(const std::string& filename) : filename_(filename) {}

  Config Read(const toml::table& root) {
    Config config = DefaultConfig();
    std::vector<std::string> sections;
    EachSection([&](const char* name, auto section) {
      sections.push_back(name);
      const toml::node* node = root.get(name);
      if (node == nullptr) return;
      const toml::table* table = node->as_table();
      if (table == nullptr) {
        Add(*node, absl::StrFormat("%s must be a table: [%s]", name, name));
        return;
      }
      std::vector<std::string> known;
      if (std::string_view(name) == "relay") known.push_back(kInterfaceKey);
      ReadSection(name, *table, &(config.*section), std::move(known));
    });
    for (const auto& [key, node] : root) {
      if (std::find(sections.begin(), sections.end(), key.str()) ==
          sections.end()) {
        AddUnknown(key, "section", "", sections);
      }
    }
    ReadInterfaces(root["relay"][kInterfaceKey].node(), &config);
    CheckTogether(root, config);
    return config;
  }

  absl::Status status() const {
    if (errors_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
  }

  void Add(const toml::source_region& where, std::string_view what) {
    if (errors_.size() == kConfigErrorsMax) return;
    errors_.push_back(
        absl::StrFormat("%s:%u: %s", filename_, where.begin.line, what));
  }
  void Add(const toml::node& where, std::string_view what) {
    Add(where.source(), what);
  }

 private:
  void AddUnknown(const toml::key& key, const char* kind,
                  const std::string& section,
                  const std::vector<std::string>& known) {
    const std::string name =
        absl::Utf8SafeCHexEscape(std::string(key.str().substr(0, 64)));
    const std::string nearest = Nearest(name, known);
    Add(key.source(),
        absl::StrFormat("unknown %s \"%s%s%s\"; the nearest is \"%s%s%s\"",
                        kind, section, section.empty() ? "" : ".", name,
                        section, section.empty() ? "" : ".", nearest));
  }

  template <typename Section>
  void ReadSection(const std::string& name, const toml::table& table,
                   Section* section, std::vector<std::string> known) {
    OptionsOf<Section>::Each([&](const Key& key, auto field, const auto& rule) {
      known.push_back(key.name);
      const toml::node* node = table.get(key.name);
      if (node == nullptr) return;
      control::Read(*node, rule, &(section->*field),
                    [&](const toml::node& where, const std::string& what) {
                      Add(where, absl::StrCat(name, ".", key.name, " ", what));
                    });
    });
    for (const auto& [key, node] : table) {
      if (std::find(known.begin(), known.end(), key.str()) == known.end()) {
        AddUnknown(key, "key", name, known);
      }
    }
  }

  void ReadInterfaces(const toml::node* node, Config* config) {
    for (InterfaceConfig& interface : config->interfaces) {
      interface.latch = config->relay.latch;
    }
    if (node == nullptr) return;
    const toml::array* list = node->as_array();
    if (list == nullptr || list->empty() || list->size() > kInterfacesMax) {
      Add(*node, absl::StrFormat("%s: write one [[%s]] for each, at most %u",
                                 kInterfaceSection, kInterfaceSection,
                                 kInterfacesMax));
      return;
    }
    config->interfaces.clear();
    for (const toml::node& entry : *list) {
      InterfaceConfig interface;
      interface.latch = config->relay.latch;
      const toml::table* table = entry.as_table();
      if (table == nullptr) {
        Add(entry, absl::StrFormat("%s must be a table: [[%s]]",
                                   kInterfaceSection, kInterfaceSection));
        continue;
      }
      ReadSection(kInterfaceSection, *table, &interface, {});
      CheckInterface(*table, interface, config->interfaces);
      config->interfaces.push_back(std::move(interface));
    }
  }

  void CheckInterface(const toml::table& table,
                      const InterfaceConfig& interface,
                      const std::vector<InterfaceConfig>& before) {
    const auto where = [&table](const char* key) {
      const toml::node* node = table.get(key);
      return node != nullptr ? node->source() : table.source();
    };
    for (const InterfaceConfig& other : before) {
      if (other.name == interface.name) {
        Add(where("name"), absl::StrFormat("%s.name \"%s\" is there twice",
                                           kInterfaceSection, interface.name));
      }
      // The same ports would be given out twice.
      if (other.address == interface.address) {
        Add(where("address"),
            absl::StrFormat("%s.address %s is that of interface \"%s\" too",
                            kInterfaceSection, interface.address.ToString(),
                            other.name));
      }
    }
    if (interface.advertise != IpAddress() &&
        interface.advertise.is_v4() != interface.address.is_v4()) {
      Add(where("advertise"),
          absl::StrFormat("%s.advertise must be of the same family as address",
                          kInterfaceSection));
    }
  }

  void CheckTogether(const toml::table& root, const Config& config) {
    if (config.relay.cq_entries < config.relay.sq_entries) {
      const auto relay = root["relay"];
      const toml::node* node = relay["cq_entries"] ? relay["cq_entries"].node()
                                                   : relay["sq_entries"].node();
      Add(*node,
          absl::StrFormat("relay.cq_entries (%u) must not be below "
                          "relay.sq_entries (%u)",
                          config.relay.cq_entries, config.relay.sq_entries));
    }
  }

  const std::string& filename_;
  std::vector<std::string> errors_;
};

// A key with its value as text.
struct Printed {
  std::string section;
  Key key;
  std::string value;
  bool first_of_section = false;
  bool repeated = false;  // a further interface: its help stands above already
};

template <typename Section>
void Flatten(const std::string& name, const Section& section, bool repeated,
             std::vector<Printed>* out) {
  bool first = true;
  OptionsOf<Section>::Each([&](const Key& key, auto field, const auto&) {
    out->push_back({name, key, Print(section.*field),
                    std::exchange(first, false), repeated});
  });
}

std::vector<Printed> Flatten(const Config& config) {
  std::vector<Printed> out;
  EachSection([&](const char* name, auto section) {
    Flatten(name, config.*section, false, &out);
    if (std::string_view(name) != "relay") return;
    bool repeated = false;
    for (const InterfaceConfig& interface : config.interfaces) {
      Flatten(kInterfaceSection, interface, std::exchange(repeated, true),
              &out);
    }
  });
  return out;
}

std::string Wrapped(const char* help) {
  constexpr size_t kColumns = 78;
  std::string out;
  std::string line = "#";
  for (const absl::string_view word : absl::StrSplit(help, ' ')) {
    if (line.size() + 1 + word.size() > kColumns) {
      absl::StrAppend(&out, line, "\n");
      line.resize(1);
    }
    absl::StrAppend(&line, " ", word);
  }
  return absl::StrCat(out, line, "\n");
}

}  // namespace

std::string RuntimeFolder(const std::string& system_folder,
                          const char* xdg_runtime_dir) {
  const std::string parent =
      system_folder.substr(0, std::max<size_t>(1, system_folder.rfind('/')));
  if (access(system_folder.c_str(), W_OK | X_OK) == 0 ||
      (errno == ENOENT && access(parent.c_str(), W_OK | X_OK) == 0)) {
    return system_folder;
  }
  // A longer one would leave no room for the sockets' own names.
  constexpr size_t kFolderMax = sizeof(sockaddr_un::sun_path) - 40;
  if (xdg_runtime_dir != nullptr && xdg_runtime_dir[0] == '/' &&
      std::string_view(xdg_runtime_dir).size() < kFolderMax &&
      access(xdg_runtime_dir, W_OK | X_OK) == 0) {
    return absl::StrCat(xdg_runtime_dir, "/sluice");
  }
  return absl::StrCat("/tmp/sluice-", getuid());
}

Config DefaultConfig() {
  Config config;
  const std::string folder =
      RuntimeFolder("/run/sluice", std::getenv("XDG_RUNTIME_DIR"));
  config.nathelper.listen = {absl::StrCat("unix:", folder, "/nathelper.sock")};
  config.control.socket = absl::StrCat(folder, "/control.sock");
  config.interfaces.emplace_back();
  return config;
}

absl::StatusOr<Config> ParseConfig(std::string_view text,
                                   const std::string& filename) {
  if (text.size() > kConfigBytesMax) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s:1: is longer than %u octets", filename, kConfigBytesMax));
  }
  Reader reader(filename);
  toml::table root;
  try {
    root = toml::parse(text, std::string_view(filename));
  } catch (const toml::parse_error& error) {
    reader.Add(error.source(), error.description());
    return reader.status();
  }
  Config config = reader.Read(root);
  RETURN_IF_ERROR(reader.status());
  return config;
}

absl::StatusOr<Config> LoadConfig(const std::string& path) {
  const net::Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text(kConfigBytesMax + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t n =
        fd ? read(fd.get(), text.data() + size, text.size() - size) : -1;
    if (n < 0) return absl::ErrnoToStatus(errno, path);
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  text.resize(size);
  return ParseConfig(text, path);
}

std::string PrintConfig(const Config& config) {
  std::string out;
  for (const Printed& entry : Flatten(config)) {
    if (entry.first_of_section) {
      const bool table = entry.section != kInterfaceSection;
      absl::StrAppend(&out, out.empty() ? "" : "\n", table ? "[" : "[[",
                      entry.section, table ? "]\n" : "]]\n");
    }
    if (!entry.repeated) absl::StrAppend(&out, Wrapped(entry.key.help));
    absl::StrAppend(&out, entry.key.name, " = ", entry.value, "\n");
  }
  return out;
}

std::vector<Difference> Differences(const Config& before, const Config& after) {
  // An interface is known by its name; its place in the file means nothing.
  const auto by_key = [](const Config& config) {
    std::vector<std::pair<std::string, Printed>> out;
    std::string interface;
    for (Printed& entry : Flatten(config)) {
      std::string key = absl::StrCat(entry.section, ".", entry.key.name);
      if (entry.section == kInterfaceSection) {
        if (entry.first_of_section) interface = entry.value;
        key = absl::StrCat(entry.section, ".",
                           interface.substr(1, interface.size() - 2), ".",
                           entry.key.name);
      }
      out.emplace_back(std::move(key), std::move(entry));
    }
    return out;
  };
  const auto old_list = by_key(before);
  const auto new_list = by_key(after);
  absl::flat_hash_map<std::string, std::string> old_values;
  for (const auto& [key, entry] : old_list) old_values[key] = entry.value;

  std::vector<Difference> out;
  for (const auto& [key, entry] : new_list) {
    const auto old = old_values.extract(key);
    const bool known = !old.empty();
    if (known && old.mapped() == entry.value) continue;
    // A new interface has no ports yet: all of it waits for the restart.
    out.push_back({key, known ? old.mapped() : "", entry.value,
                   known && entry.key.when == kLive});
  }
  for (const auto& [key, entry] : old_list) {
    if (old_values.contains(key)) out.push_back({key, entry.value, "", false});
  }
  return out;
}

void ApplyLive(const Config& wanted, Config* running) {
  const auto apply = [](const auto& from, auto* to) {
    OptionsOf<decltype(from)>::Each(
        [&](const Key& key, auto field, const auto&) {
          if (key.when == kLive) to->*field = from.*field;
        });
  };
  EachSection([&](const char*, auto section) {
    apply(wanted.*section, &(running->*section));
  });
  for (InterfaceConfig& interface : running->interfaces) {
    for (const InterfaceConfig& from : wanted.interfaces) {
      if (from.name == interface.name) apply(from, &interface);
    }
  }
}

std::vector<OptionInfo> ListOptions() {
  Config config;
  config.interfaces.emplace_back();
  std::vector<OptionInfo> out;
  for (const Printed& entry : Flatten(config)) {
    out.push_back(
        {absl::StrCat(entry.section, ".", entry.key.name), entry.key.help});
  }
  return out;
}

}  // namespace sluice::control
