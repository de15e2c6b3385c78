#ifndef SLUICE_SIP_SETTINGS_H_
#define SLUICE_SIP_SETTINGS_H_

#include <cstdint>

// Choices that a configuration makes, apart from the classes that act on them.
namespace sluice::sip {

// Whose media the relay carries: of calls that leave by another leg than they
// came in, of all, of none.
enum class Anchor : uint8_t { kCrossLeg, kAlways, kNever };

// What a TLS listener wants of its clients.
enum class ClientCertificate : uint8_t { kNone, kAsk, kRequire };

}  // namespace sluice::sip

#endif  // SLUICE_SIP_SETTINGS_H_
