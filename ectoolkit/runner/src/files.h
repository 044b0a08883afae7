// Reading files, with errors that name them.
#ifndef ECTOOLKIT_RUNNER_FILES_H_
#define ECTOOLKIT_RUNNER_FILES_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace ectoolkit {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path);

// float32 values, little-endian as on every machine this runs on.
std::vector<float> ReadFloats(const fs::path& path);

std::string HashFile(const fs::path& path);

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_FILES_H_
