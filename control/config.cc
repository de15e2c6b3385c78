#include "control/config.h"

#include <fcntl.h>
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
#include "base/nearest.h"
#include "base/net/fd.h"
#include "base/status_macros.h"
#include "control/config_checks.h"
#include "control/config_values.h"
#include "control/runtime_folder.h"

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
#define SIP_OPTION(type, key, initial, rule, when, help) \
  VISIT(Config::Sip, key, rule, when, help)
template <>
struct Options<Config::Sip> {
  template <typename Visit>
  static void Each(Visit&& visit) {
#include "control/options.def"
  }
};
#define CHAIN_OPTION(type, key, initial, rule, when, help) \
  VISIT(ChainConfig, key, rule, when, help)
template <>
struct Options<ChainConfig> {
  template <typename Visit>
  static void Each(Visit&& visit) {
#include "control/options.def"
  }
};
#define LEG_OPTION(type, key, initial, rule, when, help) \
  VISIT(LegConfig, key, rule, when, help)
template <>
struct Options<LegConfig> {
  template <typename Visit>
  static void Each(Visit&& visit) {
#include "control/options.def"
  }
};
#define POOL_OPTION(type, key, initial, rule, when, help) \
  VISIT(Config::SipPool, key, rule, when, help)
template <>
struct Options<Config::SipPool> {
  template <typename Visit>
  static void Each(Visit&& visit) {
#include "control/options.def"
  }
};
#define REGISTRAR_OPTION(type, key, initial, rule, when, help) \
  VISIT(Config::SipRegistrar, key, rule, when, help)
template <>
struct Options<Config::SipRegistrar> {
  template <typename Visit>
  static void Each(Visit&& visit) {
#include "control/options.def"
  }
};
#define AUTH_OPTION(type, key, initial, rule, when, help) \
  VISIT(Config::SipAuth, key, rule, when, help)
template <>
struct Options<Config::SipAuth> {
  template <typename Visit>
  static void Each(Visit&& visit) {
#include "control/options.def"
  }
};
#define DROPPER_OPTION(type, key, initial, rule, when, help) \
  VISIT(Config::SipDropper, key, rule, when, help)
template <>
struct Options<Config::SipDropper> {
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
#define STORE_OPTION(type, key, initial, rule, when, help) \
  VISIT(Config::Store, key, rule, when, help)
template <>
struct Options<Config::Store> {
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
// interfaces come after `relay`, chains and legs after `sip`, as their arrays
// of tables.
template <typename Visit>
void EachSection(Visit&& visit) {
  visit("log", &Config::log);
  visit("relay", &Config::relay);
  visit("nathelper", &Config::nathelper);
  visit("sip", &Config::sip);
  visit("sip.pool", &Config::sip_pool);
  visit("sip.registrar", &Config::sip_registrar);
  visit("sip.auth", &Config::sip_auth);
  visit("sip.dropper", &Config::sip_dropper);
  visit("store", &Config::store);
  visit("http", &Config::http);
  visit("control", &Config::control);
  visit("process", &Config::process);
}

template <typename Section>
using OptionsOf = Options<std::remove_cvref_t<Section>>;

// One reading of one file: collects what is wrong with it.
class Reader {
 public:
  explicit Reader(const std::string& filename) : filename_(filename) {}

  Config Read(const toml::table& root) {
    Config config = DefaultConfig();
    std::vector<std::string> sections;
    EachSection([&](const char* name, auto) { sections.push_back(name); });
    for (const char* name : {kInterfaceSection, kChainSection, kLegSection}) {
      sections.push_back(name);
    }
    EachSection([&](const char* name, auto section) {
      const toml::node* node = root.at_path(name).node();
      if (node == nullptr) return;
      const toml::table* table = node->as_table();
      if (table == nullptr) {
        Add(*node, absl::StrFormat("%s must be a table: [%s]", name, name));
        return;
      }
      ReadSection(name, *table, &(config.*section), Below(name, sections));
    });
    const std::vector<std::string> top = Below("", sections);
    for (const auto& [key, node] : root) {
      if (std::find(top.begin(), top.end(), key.str()) == top.end()) {
        AddUnknown(key, "section", "", top);
      }
    }
    ReadInterfaces(root, &config);
    ReadTables(root, kChainSection, kChainsMax, ChainConfig(), CheckChain,
               &config.chains, config);
    LegConfig leg;
    leg.anchor = config.sip.anchor;
    ReadTables(root, kLegSection, kLegsMax, leg, CheckLeg, &config.legs,
               config);
    CheckTogether(root, config, [this](const auto& where, const auto& what) {
      Add(where, what);
    });
    return config;
  }

  // In the order of the lines, whatever the order in which it was read.
  absl::Status status() {
    if (errors_.empty()) return absl::OkStatus();
    std::stable_sort(
        errors_.begin(), errors_.end(),
        [](const Error& a, const Error& b) { return a.line < b.line; });
    if (errors_.size() > kConfigErrorsMax) errors_.resize(kConfigErrorsMax);
    return absl::InvalidArgumentError(
        absl::StrJoin(errors_, "\n", [this](std::string* out, const Error& e) {
          absl::StrAppend(out, filename_, ":", e.line, ": ", e.what);
        }));
  }

  void Add(const toml::source_region& where, std::string_view what) {
    errors_.push_back({where.begin.line, std::string(what)});
  }
  void Add(const toml::node& where, std::string_view what) {
    Add(where.source(), what);
  }

 private:
  struct Error {
    toml::source_index line;
    std::string what;
  };

  // The tables right inside a section ("" : of the file).
  static std::vector<std::string> Below(
      std::string_view section, const std::vector<std::string>& sections) {
    std::vector<std::string> below;
    for (std::string_view name : sections) {
      if (!section.empty()) {
        if (!name.starts_with(section) || name.size() == section.size() ||
            name[section.size()] != '.') {
          continue;
        }
        name.remove_prefix(section.size() + 1);
      }
      if (name.find('.') == std::string_view::npos) below.emplace_back(name);
    }
    return below;
  }

  // [NAME] or [[NAME]], as opposed to a value that is a table.
  static bool IsSection(const toml::node& node) {
    const toml::table* table = node.as_table();
    return (table != nullptr && !table->is_inline()) ||
           node.is_array_of_tables();
  }

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
        AddUnknown(key, IsSection(node) ? "section" : "key", name, known);
      }
    }
  }

  // [[SECTION]], as often as it is there: read over a copy of `unset`, checked
  // beside those before it, put behind them.
  template <typename Table, typename Check>
  void ReadTables(const toml::table& root, const char* section, size_t max,
                  const Table& unset, Check&& check, std::vector<Table>* out,
                  const Config& config) {
    const toml::node* node = root.at_path(section).node();
    if (node == nullptr) return;
    const toml::array* list = node->as_array();
    if (list == nullptr || list->empty() || list->size() > max) {
      Add(*node, absl::StrFormat("%s: write one [[%s]] for each, at most %u",
                                 section, section, max));
      return;
    }
    const auto complain = [this](const auto& where, const auto& what) {
      this->Add(where, what);
    };
    for (const toml::node& entry : *list) {
      const toml::table* table = entry.as_table();
      if (table == nullptr) {
        Add(entry,
            absl::StrFormat("%s must be a table: [[%s]]", section, section));
        continue;
      }
      Table read = unset;
      ReadSection(section, *table, &read, {});
      check(*table, read, config, complain);
      out->push_back(std::move(read));
    }
  }

  // There is always one; a file that names any names them all.
  void ReadInterfaces(const toml::table& root, Config* config) {
    InterfaceConfig unset;
    unset.latch = config->relay.latch;
    const std::vector<InterfaceConfig> built_in =
        std::exchange(config->interfaces, {});
    ReadTables(root, kInterfaceSection, kInterfacesMax, unset, CheckInterface,
               &config->interfaces, *config);
    if (!config->interfaces.empty()) return;
    config->interfaces = built_in;
    for (InterfaceConfig& interface : config->interfaces) {
      interface.latch = config->relay.latch;
    }
  }

  const std::string& filename_;
  std::vector<Error> errors_;  // the file's length bounds them
};

// Whether it is an array of tables, told apart by their names.
bool IsRepeatable(std::string_view section) {
  return section == kInterfaceSection || section == kChainSection ||
         section == kLegSection;
}

// A key with its value as text.
struct Printed {
  std::string section;
  Key key;
  std::string value;
  bool first_of_section = false;
  bool repeated = false;  // a further interface: its help stands above already
  bool example = false;   // there is none: '#' before it, none before its help
};

template <typename Section>
void Flatten(const std::string& name, const Section& section, bool repeated,
             std::vector<Printed>* out, bool example = false) {
  bool first = true;
  OptionsOf<Section>::Each([&](const Key& key, auto field, const auto&) {
    out->push_back({name, key, Print(section.*field),
                    std::exchange(first, false), repeated, example});
  });
}

// All of an array of tables; where there is none, what one would look like.
template <typename Table>
void FlattenAll(const std::string& name, const std::vector<Table>& tables,
                std::vector<Printed>* out) {
  bool again = false;
  for (const Table& table : tables) {
    Flatten(name, table, std::exchange(again, true), out);
  }
  if (tables.empty()) Flatten(name, Table(), false, out, /*example=*/true);
}

std::vector<Printed> Flatten(const Config& config) {
  std::vector<Printed> out;
  EachSection([&](const char* name, auto section) {
    Flatten(name, config.*section, false, &out);
    if (std::string_view(name) == "sip") {
      FlattenAll(kChainSection, config.chains, &out);
      FlattenAll(kLegSection, config.legs, &out);
    }
    if (std::string_view(name) == "relay") {
      FlattenAll(kInterfaceSection, config.interfaces, &out);
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

Config DefaultConfig() {
  Config config;
  const std::string folder =
      RuntimeFolder(kSystemFolder, std::getenv("XDG_RUNTIME_DIR"));
  config.nathelper.listen = {absl::StrCat("unix:", folder, "/nathelper.sock")};
  config.control.socket = absl::StrCat(folder, "/", kControlSocketName);
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
      const bool many = IsRepeatable(entry.section);
      absl::StrAppend(&out, out.empty() ? "" : "\n", entry.example ? "#" : "",
                      many ? "[[" : "[", entry.section, many ? "]]\n" : "]\n");
    }
    if (!entry.repeated) absl::StrAppend(&out, Wrapped(entry.key.help));
    absl::StrAppend(&out, entry.example ? "#" : "", entry.key.name, " = ",
                    entry.value, "\n");
  }
  return out;
}

std::vector<Difference> Differences(const Config& before, const Config& after) {
  // An interface is known by its name; its place in the file means nothing.
  const auto by_key = [](const Config& config) {
    std::vector<std::pair<std::string, Printed>> out;
    std::string interface;
    for (Printed& entry : Flatten(config)) {
      if (entry.example) continue;
      std::string key = absl::StrCat(entry.section, ".", entry.key.name);
      if (IsRepeatable(entry.section)) {
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
  const auto apply_all = [&](const auto& from, auto* to) {
    for (auto& table : *to) {
      for (const auto& same : from) {
        if (same.name == table.name) apply(same, &table);
      }
    }
  };
  apply_all(wanted.interfaces, &running->interfaces);
  apply_all(wanted.chains, &running->chains);
  apply_all(wanted.legs, &running->legs);
}

std::vector<OptionInfo> ListOptions() {
  std::vector<OptionInfo> out;
  for (const Printed& entry : Flatten(Config())) {
    out.push_back(
        {absl::StrCat(entry.section, ".", entry.key.name), entry.key.help});
  }
  return out;
}

}  // namespace sluice::control
