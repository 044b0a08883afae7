#include "cpu.h"

#include <sched.h>
#include <sys/utsname.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

namespace ectoolkit {
namespace {

// Which core a CPU number is a thread of; a CPU that the kernel says nothing about counts as a core of its own.
std::pair<int, int> CoreOf(int cpu) {
  const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
  int package = -1;
  int core = -1;
  std::ifstream(folder + "physical_package_id") >> package;
  std::ifstream core_file(folder + "core_id");
  if (core_file >> core) return {package, core};
  return {-2, cpu};
}

}  // namespace

std::string CpuArchitecture() {
  utsname names;
  return uname(&names) == 0 ? names.machine : "unknown";
}

#if defined(__aarch64__)
// From the kernel itself: an emulator may show the file /proc/cpuinfo of the machine below it.
std::set<std::string> CpuFeatures() {
  constexpr unsigned long kAsimd = 1ul << 1, kAsimdDot = 1ul << 20, kInt8Matrix = 1ul << 13;  // asm/hwcap.h
  const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
  std::set<std::string> features;
  if (first & kAsimd) features.insert("asimd");
  if (first & kAsimdDot) features.insert("asimddp");
  if (second & kInt8Matrix) features.insert("i8mm");
  return features;
}
#else
std::set<std::string> CpuFeatures() {
  std::set<std::string> features;
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.rfind("flags", 0) != 0) continue;  // the first CPU stands for all
    std::istringstream words(line.substr(line.find(':') + 1));
    for (std::string word; words >> word;) features.insert(word);
    break;
  }
  return features;
}
#endif

Cpus AllowedCpus() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  Cpus cpus;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
    const int count = static_cast<int>(std::thread::hardware_concurrency());
    for (int cpu = 0; cpu < count; ++cpu) CPU_SET(cpu, &allowed);
  }
  std::set<std::pair<int, int>> cores;
  std::vector<int> hyper_threads;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    (cores.insert(CoreOf(cpu)).second ? cpus.numbers : hyper_threads).push_back(cpu);
  }
  cpus.core_count = static_cast<int>(cores.size());
  cpus.numbers.insert(cpus.numbers.end(), hyper_threads.begin(), hyper_threads.end());
  return cpus;
}

}  // namespace ectoolkit
