#include "latency.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <numeric>

namespace ectoolkit {
namespace {

// The smallest value that at least this share of all values does not exceed.
double Percentile(const std::vector<double>& sorted, double share) {
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

}  // namespace

Measurement Measure(const Model& model, int warmup, int runs) {
  using Clock = std::chrono::steady_clock;
  for (int i = 0; i < warmup; ++i) model.Run();
  Measurement measurement;
  measurement.latencies_ms.reserve(static_cast<std::size_t>(runs));
  for (int i = 0; i < runs; ++i) {
    const Clock::time_point start = Clock::now();
    tvm::ffi::Any outputs = model.Run();
    const std::chrono::duration<double, std::milli> elapsed = Clock::now() - start;
    measurement.latencies_ms.push_back(elapsed.count());
    measurement.outputs = std::move(outputs);
  }
  return measurement;
}

void PrintLatency(std::vector<double> latencies_ms) {
  std::sort(latencies_ms.begin(), latencies_ms.end());
  const double sum = std::accumulate(latencies_ms.begin(), latencies_ms.end(), 0.0);
  std::printf("latency over %zu runs: mean %.3f ms, p50 %.3f ms, p99 %.3f ms\n", latencies_ms.size(),
              sum / static_cast<double>(latencies_ms.size()), Percentile(latencies_ms, 0.50),
              Percentile(latencies_ms, 0.99));
}

}  // namespace ectoolkit
