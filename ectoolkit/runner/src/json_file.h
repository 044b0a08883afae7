// A JSON file of ectoolkit: parsed once, read by name, with errors that name the file and the field.
#ifndef ECTOOLKIT_RUNNER_JSON_FILE_H_
#define ECTOOLKIT_RUNNER_JSON_FILE_H_

#include <tvm/ffi/any.h>
#include <tvm/ffi/extra/json.h>
#include <tvm/ffi/string.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "failure.h"

namespace ectoolkit {

// One JSON object and where it stands: the file, and the path of keys within it.
class JsonObject {
 public:
  // Throws unless `text` is an object of this format and format version.
  static JsonObject Parse(const std::string& text, const std::string& file, const std::string& format,
                          std::int64_t format_version);

  std::string String(const std::string& key) const { return As<tvm::ffi::String>(key, "a string"); }
  std::int64_t Integer(const std::string& key) const { return As<std::int64_t>(key, "a whole number"); }
  JsonObject Object(const std::string& key) const;
  std::vector<JsonObject> Objects(const std::string& key) const;
  std::vector<std::string> Strings(const std::string& key) const;
  std::vector<std::int64_t> Integers(const std::string& key) const;
  std::vector<std::string> Keys() const;

 private:
  JsonObject(tvm::ffi::json::Object object, std::string file, std::string at)
      : object_(std::move(object)), file_(std::move(file)), at_(std::move(at)) {}

  std::string PathOf(const std::string& key) const { return at_.empty() ? key : at_ + "." + key; }
  [[noreturn]] void Fail(const std::string& key, const std::string& problem) const {
    throw Failure(file_ + " is not valid: '" + PathOf(key) + "' " + problem + ". Build the directory again");
  }

  template <typename T>
  T As(const std::string& key, const char* expected) const {
    auto value = object_.Get(tvm::ffi::String(key));
    if (!value) Fail(key, "is missing");
    auto typed = value->as<T>();
    if (!typed) Fail(key, std::string("is not ") + expected);
    return *std::move(typed);
  }

  // Every element of a list, each as T.
  template <typename T>
  std::vector<T> List(const std::string& key, const char* expected) const {
    std::vector<T> list;
    for (const tvm::ffi::Any& element : As<tvm::ffi::json::Array>(key, "a list")) {
      auto typed = element.as<T>();
      if (!typed) Fail(key, std::string("does not hold only ") + expected);
      list.push_back(*std::move(typed));
    }
    return list;
  }

  tvm::ffi::json::Object object_;
  std::string file_;
  std::string at_;
};

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_JSON_FILE_H_
