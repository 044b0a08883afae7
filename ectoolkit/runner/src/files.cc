#include "files.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "failure.h"
#include "sha256.h"

namespace ectoolkit {
namespace {

std::ifstream Open(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Failure("cannot read " + path.string() + ": " + std::strerror(errno) + ". Check its permissions");
  return file;
}

}  // namespace

std::string ReadFile(const fs::path& path) {
  std::ifstream file = Open(path);
  std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) throw Failure("cannot read " + path.string() + ": " + std::strerror(errno));
  return content;
}

std::vector<float> ReadFloats(const fs::path& path) {
  const std::string bytes = ReadFile(path);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

std::string HashFile(const fs::path& path) {
  std::ifstream file = Open(path);
  Sha256 hash;
  std::string block(1 << 16, '\0');
  while (file) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    hash.Update(std::string_view(block.data(), static_cast<std::size_t>(file.gcount())));
  }
  if (file.bad()) throw Failure("cannot read " + path.string() + ": " + std::strerror(errno));
  return hash.Finish();
}

}  // namespace ectoolkit
