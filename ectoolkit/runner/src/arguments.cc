#include "arguments.h"

#include <charconv>
#include <string_view>

namespace ectoolkit {
namespace {

int ParseNumber(const std::string& option, std::string_view text, int least, int most) {
  int number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end || number < least || number > most) {
    throw UsageError(option + " is '" + std::string(text) + "', expected a whole number from " +
                     std::to_string(least) + " to " + std::to_string(most));
  }
  return number;
}

}  // namespace

Arguments ParseArguments(int argc, const char* const* argv) {
  constexpr int kMostRuns = 10'000'000;
  constexpr int kMostThreads = 1024;
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--help" || word == "-h") {
      arguments.help = true;
      return arguments;
    }
    if (word.empty() || word[0] != '-') {
      if (!arguments.folder.empty()) throw UsageError("two directories are given: " + arguments.folder + ", " + word);
      if (word.empty()) throw UsageError("the name of the directory is empty");
      arguments.folder = word;
      continue;
    }
    // Both "--runs 5" and "--runs=5".
    const std::size_t equals = word.find('=');
    const std::string option = word.substr(0, equals);
    if (option != "--runs" && option != "--warmup" && option != "--threads") {
      throw UsageError("there is no option " + option);
    }
    if (equals == std::string::npos && i + 1 == argc) throw UsageError(option + " needs a number");
    const std::string value = equals == std::string::npos ? argv[++i] : word.substr(equals + 1);
    if (option == "--runs") arguments.runs = ParseNumber(option, value, 1, kMostRuns);
    if (option == "--warmup") arguments.warmup = ParseNumber(option, value, 0, kMostRuns);
    if (option == "--threads") arguments.threads = ParseNumber(option, value, 1, kMostThreads);
  }
  if (arguments.folder.empty()) throw UsageError("the deploy directory is missing");
  return arguments;
}

}  // namespace ectoolkit
