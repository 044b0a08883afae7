// manifest.json: what a deploy directory is and must contain. `ectoolkit.core.deployment` defines it.
#ifndef ECTOOLKIT_RUNNER_MANIFEST_H_
#define ECTOOLKIT_RUNNER_MANIFEST_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "files.h"

namespace ectoolkit {

inline constexpr char kManifest[] = "manifest.json";
inline constexpr char kLibrary[] = "deploy.so";
inline constexpr char kProgram[] = "deploy.json";
inline constexpr char kParameters[] = "deploy.params";

// An input or output: float32 of this shape in `layout`, with example values in `file`.
struct TensorFile {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string layout;
  std::string file;

  std::size_t SizeBytes() const;
};

struct FileRecord {
  std::string sha256;
  std::uintmax_t size_bytes;
};

struct Manifest {
  std::string name;
  std::string target;
  std::string host_arch;
  std::string isa;
  std::vector<std::string> cpu_features;
  std::map<std::string, std::string> tools;
  std::vector<TensorFile> inputs;
  std::vector<TensorFile> outputs;
  std::map<std::string, FileRecord> files;
};

// Throws unless the folder has a manifest of the version this program reads, unaltered and complete.
Manifest ReadManifest(const fs::path& folder);

// "[1, 224, 224, 3]"
std::string ToString(const std::vector<std::int64_t>& shape);

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_MANIFEST_H_
