// How many threads TVM's kernels run on.
#ifndef ECTOOLKIT_RUNNER_THREADS_H_
#define ECTOOLKIT_RUNNER_THREADS_H_

#include <optional>

namespace ectoolkit {

// Sets the number of threads; without one, TVM_NUM_THREADS or OMP_NUM_THREADS decide, else one a core that this process
// may use. Must be called on the thread that runs the model, before anything runs: TVM has one pool for each thread.
void SetThreads(std::optional<int> threads);

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_THREADS_H_
