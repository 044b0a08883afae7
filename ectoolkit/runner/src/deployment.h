// A deploy directory that was checked before anything in it is used.
#ifndef ECTOOLKIT_RUNNER_DEPLOYMENT_H_
#define ECTOOLKIT_RUNNER_DEPLOYMENT_H_

#include <string>
#include <vector>

#include "files.h"
#include "manifest.h"

namespace ectoolkit {

// How deploy.so is called, from deploy.json.
struct Program {
  std::string prepare;                  // once: the parameters -> the parameters as the kernels want them
  std::string run;                      // the inputs, then the prepared parameters -> the outputs
  std::vector<std::string> parameters;  // names in deploy.params, in the order that `prepare` takes them
};

struct Deployment {
  fs::path folder;  // absolute: dlopen searches elsewhere for a name without a slash
  Manifest manifest;
  Program program;

  fs::path Path(const std::string& file) const { return folder / file; }
};

// Opens a deploy directory: every file is there with its size and sha256, nothing else is, and this machine can run
// it. The reference results may hold other values than were built: a difference is what the comparison is for.
Deployment LoadDeployment(const fs::path& folder);

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_DEPLOYMENT_H_
