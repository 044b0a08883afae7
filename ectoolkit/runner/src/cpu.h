// What this machine's CPU is, can do, and may be used by this process.
#ifndef ECTOOLKIT_RUNNER_CPU_H_
#define ECTOOLKIT_RUNNER_CPU_H_

#include <set>
#include <string>
#include <vector>

namespace ectoolkit {

// "x86_64", "aarch64", ...
std::string CpuArchitecture();

// Names of the CPU's features that a deploy.so may need, as the kernel lists them in /proc/cpuinfo.
std::set<std::string> CpuFeatures();

struct Cpus {
  // Numbers of the CPUs that this process may run on: one of every core first, their hyper-threads after.
  std::vector<int> numbers;
  int core_count = 0;
};

Cpus AllowedCpus();

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_CPU_H_
