#include "threads.h"

#include <tvm/ffi/container/array.h>
#include <tvm/ffi/function.h>
#include <tvm/ffi/string.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "cpu.h"
#include "failure.h"

namespace ectoolkit {

namespace ffi = tvm::ffi;

void SetThreads(std::optional<int> threads) {
  // TVM reads these itself.
  if (!threads && (std::getenv("TVM_NUM_THREADS") || std::getenv("OMP_NUM_THREADS"))) return;

  const Cpus cpus = AllowedCpus();
  const std::size_t most = cpus.numbers.size();
  const auto wanted = static_cast<std::size_t>(std::max(threads.value_or(cpus.core_count), 1));
  if (wanted > most) {
    throw Failure("--threads is " + std::to_string(wanted) + ", and this process may use " + std::to_string(most) +
                  (most == 1 ? " CPU" : " CPUs") +
                  ". TVM's threads wait by spinning, so more of them than CPUs only lose time: ask for at most " +
                  std::to_string(most));
  }
  // Without a list of CPUs this function cannot exceed half of the machine's CPUs, which TVM takes for hyper-threads,
  // and binds its threads to CPUs 0, 1, ... even where this process may not run on them.
  constexpr int kOneCpuPerThread = -2;
  ffi::Array<ffi::String> numbers;
  for (std::size_t i = 0; i < wanted; ++i) numbers.push_back(std::to_string(cpus.numbers[i]));
  ffi::Function::GetGlobalRequired("runtime.config_threadpool")(kOneCpuPerThread, static_cast<int>(wanted), numbers);
}

}  // namespace ectoolkit
