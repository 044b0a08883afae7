// The one exception of this program: something kept it from running, and the text says what, where and what next.
#ifndef ECTOOLKIT_RUNNER_FAILURE_H_
#define ECTOOLKIT_RUNNER_FAILURE_H_

#include <stdexcept>

namespace ectoolkit {

class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_FAILURE_H_
