#include "sip/location.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sip/location_writer.h"

namespace sluice::sip {
namespace {

constexpr Micros kSweepEvery = Micros::Seconds(1);
// Find leaves out what has expired; sweeping only gives back its memory.
constexpr size_t kSweptAtOnce = 10'000;

int64_t SystemSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class MemoryAndDisk : public LocationStore {
 public:
  MemoryAndDisk(net::EventLoop& loop, const Options& options)
      : loop_(loop),
        wall_clock_(options.wall_clock ? options.wall_clock : SystemSeconds),
        bindings_max_(options.bindings_max) {
    sweep_ = loop_.Every(kSweepEvery, [this] { Sweep(); });
  }
  ~MemoryAndDisk() override { loop_.Cancel(sweep_); }

  absl::Status OpenDatabase(const std::string& path) {
    ASSIGN_OR_RETURN(writer_, LocationWriter::Open(loop_, path));
    std::string aor;
    std::vector<Binding> bindings;
    size_t left_out = 0;
    const auto keep = [&] {
      if (bindings.empty()) return;
      if (size_ + bindings.size() > bindings_max_) {
        left_out += bindings.size();
      } else {
        Replace(aor, std::move(bindings));
      }
      bindings.clear();
    };
    ASSIGN_OR_RETURN(const size_t senseless,
                     writer_->Load(wall_clock_(),
                                   [&](std::string_view next, Binding binding) {
                                     if (next != aor) {
                                       keep();
                                       aor = next;
                                     }
                                     bindings.push_back(std::move(binding));
                                   }));
    keep();
    if (senseless + left_out > 0) {
      log::Line("registrations were left out")
          .With("database", path)
          .With("senseless", senseless)
          .With("too_many", left_out)
          .Warn();
    }
    writer_->Start();
    return absl::OkStatus();
  }

  const std::vector<Binding>& Find(std::string_view aor) override {
    static const std::vector<Binding> kNone;
    const auto found = records_.find(aor);
    if (found == records_.end()) return kNone;
    const Record& record = *found->second;
    const int64_t now = wall_clock_();
    if (record.first_expiry > now) return *record.bindings;
    found_.clear();
    for (const Binding& binding : *record.bindings) {
      if (binding.expires_at > now) found_.push_back(binding);
    }
    return found_;
  }

  absl::Status Store(std::string_view aor, std::vector<Binding> bindings,
                     Durable durable) override {
    const auto found = records_.find(aor);
    const LocationWriter::Bindings before =
        found == records_.end() ? nullptr : found->second->bindings;
    const size_t had = before == nullptr ? 0 : before->size();
    if (bindings.size() > had &&
        size_ - had + bindings.size() > bindings_max_) {
      return absl::ResourceExhaustedError("as many bindings as there may be");
    }
    SortBindings(&bindings);
    const auto after =
        std::make_shared<const std::vector<Binding>>(std::move(bindings));
    if (writer_ != nullptr &&
        !writer_->Push(
            {.aor = std::string(aor), .bindings = after, .durable = durable})) {
      return absl::ResourceExhaustedError("the disk does not keep up");
    }
    counters_.stored += after->size();
    for (size_t i = 0; i < had; ++i) {
      const std::string& contact = (*before)[i].contact;
      counters_.removed +=
          std::none_of(after->begin(), after->end(),
                       [&](const Binding& b) { return b.contact == contact; });
    }
    Replace(aor, after);
    if (writer_ == nullptr && durable != nullptr) durable(absl::OkStatus());
    return absl::OkStatus();
  }

  void ForEach(
      const std::function<bool(std::string_view, const std::vector<Binding>&)>&
          visit) const override {
    for (const auto& [aor, record] : records_) {
      if (!visit(aor, *record->bindings)) return;
    }
  }

  size_t size() const override { return size_; }
  size_t records() const override { return records_.size(); }

  const Counters& counters() const override {
    if (writer_ != nullptr) {
      counters_.transactions = writer_->transactions();
      counters_.write_failures = writer_->failures();
    }
    return counters_;
  }

  absl::Status Flush() override {
    return writer_ != nullptr ? writer_->Flush() : absl::OkStatus();
  }

 private:
  struct Record {
    std::string aor;
    LocationWriter::Bindings bindings;  // never empty
    int64_t first_expiry = 0;
  };

  void Replace(std::string_view aor, std::vector<Binding> bindings) {
    Replace(aor,
            std::make_shared<const std::vector<Binding>>(std::move(bindings)));
  }
  void Replace(std::string_view aor, LocationWriter::Bindings bindings) {
    auto found = records_.find(aor);
    if (found != records_.end()) {
      Record* record = found->second.get();
      size_ -= record->bindings->size();
      by_expiry_.erase({record->first_expiry, record});
      if (bindings->empty()) {
        // The key is a view into what goes with it.
        const std::unique_ptr<Record> last = std::move(found->second);
        records_.erase(found);
        return;
      }
    } else {
      if (bindings->empty()) return;
      auto record = std::make_unique<Record>();
      record->aor = aor;
      const std::string_view key = record->aor;
      found = records_.emplace(key, std::move(record)).first;
    }
    Record* record = found->second.get();
    size_ += bindings->size();
    record->first_expiry =
        std::min_element(bindings->begin(), bindings->end(),
                         [](const Binding& a, const Binding& b) {
                           return a.expires_at < b.expires_at;
                         })
            ->expires_at;
    record->bindings = std::move(bindings);
    by_expiry_.insert({record->first_expiry, record});
  }

  void Sweep() {
    const int64_t now = wall_clock_();
    for (size_t i = 0; i < kSweptAtOnce && !by_expiry_.empty() &&
                       by_expiry_.begin()->first <= now;
         ++i) {
      const Record* record = by_expiry_.begin()->second;
      std::vector<Binding> left;
      for (const Binding& binding : *record->bindings) {
        if (binding.expires_at > now) left.push_back(binding);
      }
      counters_.expired += record->bindings->size() - left.size();
      const auto after =
          std::make_shared<const std::vector<Binding>>(std::move(left));
      const std::string aor = record->aor;
      // With no room for it the rows stay until the next start deletes them.
      if (writer_ != nullptr) {
        writer_->Push({.aor = aor, .bindings = after, .durable = nullptr});
      }
      Replace(aor, after);
    }
  }

  net::EventLoop& loop_;
  const std::function<int64_t()> wall_clock_;
  const size_t bindings_max_;
  net::EventLoop::TimerId sweep_ = 0;

  // The key is Record::aor.
  absl::flat_hash_map<std::string_view, std::unique_ptr<Record>> records_;
  std::set<std::pair<int64_t, Record*>> by_expiry_;
  size_t size_ = 0;
  std::vector<Binding> found_;  // what Find returned last
  mutable Counters counters_;
  std::unique_ptr<LocationWriter> writer_;  // null: memory only
};

}  // namespace

void SortBindings(std::vector<Binding>* bindings) {
  if (bindings->size() < 2) return;
  std::stable_sort(bindings->begin(), bindings->end(),
                   [](const Binding& a, const Binding& b) {
                     return a.q != b.q ? a.q > b.q
                                       : a.changed_at > b.changed_at;
                   });
}

absl::StatusOr<std::unique_ptr<LocationStore>> LocationStore::Open(
    net::EventLoop& loop, const Options& options) {
  auto store = std::make_unique<MemoryAndDisk>(loop, options);
  if (!options.database.empty()) {
    RETURN_IF_ERROR(store->OpenDatabase(options.database));
  }
  return store;
}

}  // namespace sluice::sip
