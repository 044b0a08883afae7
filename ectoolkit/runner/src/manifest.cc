#include "manifest.h"

#include <system_error>

#include "failure.h"
#include "json_file.h"
#include "sha256.h"

namespace ectoolkit {
namespace {

// JSON without the white space between its tokens: the form that the manifest's own hash is taken of.
std::string Compact(const std::string& json) {
  std::string compact;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string && c == '\\' && i + 1 < json.size()) {
      compact += c;
      compact += json[++i];
      continue;
    }
    if (c == '"') in_string = !in_string;
    if (in_string || (c != ' ' && c != '\n' && c != '\r' && c != '\t')) compact += c;
  }
  return compact;
}

// The manifest carries the hash of itself with that hash left empty.
void CheckSeal(const std::string& text, const std::string& seal, const std::string& file) {
  std::string blank = Compact(text);
  const std::string key = "\"manifest_sha256\":\"";
  const std::size_t at = blank.find(key + seal + "\"");
  if (at != std::string::npos) blank.erase(at + key.size(), seal.size());
  Sha256 hash;
  hash.Update(blank);
  if (at == std::string::npos || hash.Finish() != seal) {
    throw Failure(file + " was altered: its content does not match its own hash. Build the directory again");
  }
}

TensorFile ParseTensor(const JsonObject& object, const std::string& file) {
  TensorFile tensor{object.String("name"), object.Integers("shape"), object.String("layout"), object.String("file")};
  if (const std::string dtype = object.String("dtype"); dtype != "float32") {
    throw Failure(file + ": the dtype of " + tensor.name + " is " + dtype + ", expected float32");
  }
  for (std::int64_t extent : tensor.shape) {
    if (extent < 1) throw Failure(file + ": the shape of " + tensor.name + " is " + ToString(tensor.shape));
  }
  return tensor;
}

void CheckListed(const Manifest& manifest, const std::string& file) {
  for (const auto& [name, record] : manifest.files) {
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) {
      throw Failure(file + " lists '" + name + "', which is not the name of a file in its own directory. " +
                    "Build the directory again");
    }
  }
  std::vector<std::string> needed = {kLibrary, kProgram, kParameters};
  for (const auto* tensors : {&manifest.inputs, &manifest.outputs}) {
    for (const TensorFile& tensor : *tensors) {
      needed.push_back(tensor.file);
      const auto record = manifest.files.find(tensor.file);
      if (record != manifest.files.end() && record->second.size_bytes != tensor.SizeBytes()) {
        throw Failure(file + " lists " + std::to_string(record->second.size_bytes) + " bytes for " + tensor.file +
                      ", expected " + std::to_string(tensor.SizeBytes()) + ": float32 " + ToString(tensor.shape) +
                      ". Build the directory again");
      }
    }
  }
  for (const std::string& name : needed) {
    if (!manifest.files.count(name)) {
      throw Failure(file + " does not list " + name + ", which this deploy directory needs. Build it again");
    }
  }
}

}  // namespace

std::size_t TensorFile::SizeBytes() const {
  std::size_t size = sizeof(float);
  for (std::int64_t extent : shape) size *= static_cast<std::size_t>(extent);
  return size;
}

Manifest ReadManifest(const fs::path& folder) {
  const fs::path path = folder / kManifest;
  const std::string file = path.string();
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) {
    const char* state = fs::is_directory(folder, ignored) ? " has no manifest.json"
                        : fs::exists(folder, ignored)     ? " is a file"
                                                          : " does not exist";
    throw Failure(folder.string() + state + "; expected a deploy directory made by ectoolkit.build");
  }
  const std::string text = ReadFile(path);
  const JsonObject json = JsonObject::Parse(text, file, "ectoolkit-deployment", 1);
  CheckSeal(text, json.String("manifest_sha256"), file);

  Manifest manifest;
  manifest.name = json.String("name");
  manifest.target = json.String("target");
  manifest.host_arch = json.String("host_arch");
  manifest.isa = json.String("isa");
  manifest.cpu_features = json.Strings("cpu_features");
  const JsonObject tools = json.Object("tools");
  for (const std::string& tool : tools.Keys()) manifest.tools[tool] = tools.String(tool);
  for (const JsonObject& input : json.Objects("inputs")) manifest.inputs.push_back(ParseTensor(input, file));
  for (const JsonObject& output : json.Objects("outputs")) manifest.outputs.push_back(ParseTensor(output, file));
  const JsonObject files = json.Object("files");
  for (const std::string& name : files.Keys()) {
    const JsonObject record = files.Object(name);
    manifest.files[name] = {record.String("sha256"), static_cast<std::uintmax_t>(record.Integer("size_bytes"))};
  }
  CheckListed(manifest, file);
  return manifest;
}

std::string ToString(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (std::int64_t extent : shape) text += (text.empty() ? "" : ", ") + std::to_string(extent);
  return "[" + text + "]";
}

}  // namespace ectoolkit
