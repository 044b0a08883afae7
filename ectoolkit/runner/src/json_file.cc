#include "json_file.h"

#include <algorithm>

namespace ectoolkit {

namespace ffi = tvm::ffi;

namespace {

// TVM's parser calls itself for each level, and a damaged file of nothing but brackets would end the program.
bool IsNestedTooDeep(const std::string& json) {
  constexpr int kMostLevels = 500;
  int level = 0;
  for (char c : json) {
    // Brackets in strings are counted too: enough of those to matter do not occur in ectoolkit's files.
    if (c == '[' || c == '{') ++level;
    if (c == ']' || c == '}') --level;
    if (level > kMostLevels) return true;
  }
  return false;
}

}  // namespace

JsonObject JsonObject::Parse(const std::string& text, const std::string& file, const std::string& format,
                             std::int64_t format_version) {
  ffi::String error;
  ffi::json::Value value;
  if (IsNestedTooDeep(text)) {
    error = "its brackets do not close";
  } else {
    value = ffi::json::Parse(ffi::String(text), &error);
  }
  if (!error.empty()) {
    throw Failure(file + " is not JSON (" + std::string(error) +
                  "): it is damaged or truncated. Build the directory again");
  }
  const auto object = value.as<ffi::json::Object>();
  const auto found = object ? object->Get(ffi::String("format")) : std::nullopt;
  const auto name = found ? found->as<ffi::String>() : std::nullopt;
  if (!name || std::string(*name) != format) {
    throw Failure(file + " is not an " + format + " file: its format is " +
                  (name ? "'" + std::string(*name) + "'" : "not stated"));
  }
  JsonObject self(*object, file, "");
  const std::int64_t version = self.Integer("format_version");
  if (version != format_version) {
    throw Failure(file + " has format version " + std::to_string(version) + "; this program reads version " +
                  std::to_string(format_version) +
                  ". Build this program with the ectoolkit that made the directory, or make the directory again");
  }
  return self;
}

JsonObject JsonObject::Object(const std::string& key) const {
  return JsonObject(As<ffi::json::Object>(key, "an object"), file_, PathOf(key));
}

std::vector<JsonObject> JsonObject::Objects(const std::string& key) const {
  std::vector<JsonObject> list;
  for (auto& object : List<ffi::json::Object>(key, "objects")) {
    const std::string at = PathOf(key) + "[" + std::to_string(list.size()) + "]";
    list.push_back(JsonObject(std::move(object), file_, at));
  }
  return list;
}

std::vector<std::string> JsonObject::Strings(const std::string& key) const {
  const auto list = List<ffi::String>(key, "strings");
  return {list.begin(), list.end()};
}

std::vector<std::int64_t> JsonObject::Integers(const std::string& key) const {
  return List<std::int64_t>(key, "whole numbers");
}

std::vector<std::string> JsonObject::Keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object_) {
    if (const auto name = key.as<ffi::String>()) keys.push_back(*name);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace ectoolkit
