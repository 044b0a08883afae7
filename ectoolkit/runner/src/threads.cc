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

int SetThreads(std::optional<int> threads) {
  const ffi::Function used = ffi::Function::GetGlobalRequired("runtime.NumThreads");
  const bool in_environment = std::getenv("TVM_NUM_THREADS") || std::getenv("OMP_NUM_THREADS");
  if (!threads && in_environment) return used().cast<int>();

  const Cpus cpus = AllowedCpus();
  const int wanted = threads.value_or(std::max(cpus.core_count, 1));
  // runtime.config_threadpool cannot exceed the size the pool is created with, which on x86 is half of the CPUs
  // whether they are hyper-threads or not. The pool takes this variable instead when it is first used.
  setenv("TVM_NUM_THREADS", std::to_string(wanted).c_str(), 1);
  // TVM binds its threads to CPUs 0, 1, ... even where this process may not run on them; give it those that it may.
  constexpr int kOneCpuPerThread = -2;
  ffi::Array<ffi::String> numbers;
  const std::size_t count = std::min(cpus.numbers.size(), static_cast<std::size_t>(wanted));
  for (std::size_t i = 0; i < count; ++i) numbers.push_back(std::to_string(cpus.numbers[i]));
  ffi::Function::GetGlobalRequired("runtime.config_threadpool")(kOneCpuPerThread, wanted, numbers);
  const int given = used().cast<int>();
  if (given != wanted) {
    throw Failure("TVM uses " + std::to_string(given) + " threads, expected " + std::to_string(wanted) +
                  ". Choose another number with --threads");
  }
  return given;
}

}  // namespace ectoolkit
