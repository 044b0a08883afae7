// The command line.
#ifndef ECTOOLKIT_RUNNER_ARGUMENTS_H_
#define ECTOOLKIT_RUNNER_ARGUMENTS_H_

#include <optional>
#include <stdexcept>
#include <string>

namespace ectoolkit {

inline constexpr char kUsage[] = "usage: inference DIR [--runs N] [--warmup N] [--threads N]\n";

inline constexpr char kHelp[] =
    "\n"
    "Runs the deploy directory DIR on this machine's CPU with its example input, and\n"
    "compares the result with the stored reference in every element.\n"
    "\n"
    "  --runs N     measured runs (default 100)\n"
    "  --warmup N   runs before those (default 10)\n"
    "  --threads N  threads (default: TVM_NUM_THREADS, else one a core)\n"
    "  --help       print this text\n"
    "\n"
    "Exit status: 0 equal, 1 different, 2 could not run.\n";

// The command line is not one of ours; the text says what is wrong with it.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Arguments {
  std::string folder;
  int runs = 100;
  int warmup = 10;
  std::optional<int> threads;
  bool help = false;
};

Arguments ParseArguments(int argc, const char* const* argv);

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_ARGUMENTS_H_
