// The one exception of this program: something kept it from running, and the text says what, where and what next.
#ifndef ECTOOLKIT_RUNNER_FAILURE_H_
#define ECTOOLKIT_RUNNER_FAILURE_H_

#include <exception>
#include <stdexcept>
#include <string>

namespace ectoolkit {

class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What a library says went wrong, to stand inside a sentence.
inline std::string Reason(const std::exception& error) {
  std::string text = error.what();
  while (!text.empty() && (text.back() == '.' || text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_FAILURE_H_
