#ifndef SLUICE_TOOLS_PHONE_COMMAND_H_
#define SLUICE_TOOLS_PHONE_COMMAND_H_

#include "tools/phone/options.h"

namespace CLI {
class App;
}  // namespace CLI

namespace sluice::phone {

// The verbs and their options, into `options`, which outlives the app.
void Describe(CLI::App* app, Options* options);
// Behind parse().
Role RoleOf(const CLI::App& app);

}  // namespace sluice::phone

#endif  // SLUICE_TOOLS_PHONE_COMMAND_H_
