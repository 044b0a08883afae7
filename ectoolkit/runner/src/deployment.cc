#include "deployment.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "cpu.h"
#include "failure.h"
#include "json_file.h"

namespace ectoolkit {
namespace {

void CheckFile(const fs::path& path, const FileRecord& record, bool values_may_differ) {
  std::error_code ignored;
  const std::string expected = std::to_string(record.size_bytes);
  if (!fs::is_regular_file(path, ignored)) {
    throw Failure(path.string() + " is missing; the manifest lists " + expected + " bytes. Build the directory again");
  }
  const std::uintmax_t size = fs::file_size(path);
  if (size != record.size_bytes) {
    throw Failure(path.string() + (size < record.size_bytes ? " is truncated: " : " is longer than it was built: ") +
                  std::to_string(size) + " bytes, expected " + expected + ". Build the directory again");
  }
  if (values_may_differ) return;
  const std::string digest = HashFile(path);
  if (digest != record.sha256) {
    throw Failure(path.string() + " was altered: its sha256 is " + digest.substr(0, 12) + "..., expected " +
                  record.sha256.substr(0, 12) + ".... Build the directory again");
  }
}

void CheckFiles(const fs::path& folder, const Manifest& manifest) {
  std::set<std::string> references;
  for (const TensorFile& output : manifest.outputs) references.insert(output.file);
  for (const auto& [name, record] : manifest.files) {
    CheckFile(folder / name, record, references.count(name) != 0);
  }
  std::set<std::string> strangers;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name != kManifest && !manifest.files.count(name)) strangers.insert(name);
  }
  if (!strangers.empty()) {
    throw Failure((folder / *strangers.begin()).string() + " is not in " + kManifest +
                  ": the directory was changed after it was built. Remove the file, or build again");
  }
}

void CheckMachine(const fs::path& folder, const Manifest& manifest) {
  const std::string what = (folder / kLibrary).string();
  if (manifest.target != "cpu") {
    throw Failure(what + " is built for target " + manifest.target +
                  "; this program runs target cpu. Run it with ectoolkit and a device of that target");
  }
  if (const std::string arch = CpuArchitecture(); arch != manifest.host_arch) {
    throw Failure(what + " is built for " + manifest.host_arch + " and this machine is " + arch +
                  ". Run it on such a machine, or build it for this one");
  }
  const std::set<std::string> has = CpuFeatures();
  std::string missing;
  for (const std::string& feature : manifest.cpu_features) {
    if (!has.count(feature)) missing += (missing.empty() ? "" : ", ") + feature;
  }
  if (!missing.empty()) {
    throw Failure(what + " is built for isa " + manifest.isa + " and this CPU lacks: " + missing +
                  ". Build the directory for this machine's isa, or run it on a CPU that has it");
  }
}

Program ReadProgram(const fs::path& path) {
  const JsonObject json = JsonObject::Parse(ReadFile(path), path.string(), "ectoolkit-program", 1);
  const JsonObject program = json.Object("program");
  return {program.String("prepare"), program.String("run"), program.Strings("parameters")};
}

}  // namespace

Deployment LoadDeployment(const fs::path& folder) {
  Deployment deployment;
  deployment.folder = fs::absolute(folder);
  deployment.manifest = ReadManifest(deployment.folder);
  CheckFiles(deployment.folder, deployment.manifest);
  CheckMachine(deployment.folder, deployment.manifest);
  deployment.program = ReadProgram(deployment.Path(kProgram));
  return deployment;
}

}  // namespace ectoolkit
