// How many threads TVM's kernels run on.
#ifndef ECTOOLKIT_RUNNER_THREADS_H_
#define ECTOOLKIT_RUNNER_THREADS_H_

#include <optional>

namespace ectoolkit {

// Sets the number of threads; without one, TVM_NUM_THREADS or OMP_NUM_THREADS, else one a core that this process may
// use. Must be called before anything runs on TVM's thread pool. Returns the number that will be used.
int SetThreads(std::optional<int> threads);

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_THREADS_H_
