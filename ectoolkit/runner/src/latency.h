// How long an inference takes.
#ifndef ECTOOLKIT_RUNNER_LATENCY_H_
#define ECTOOLKIT_RUNNER_LATENCY_H_

#include <vector>

#include "model.h"

namespace ectoolkit {

struct Measurement {
  std::vector<double> latencies_ms;
  tvm::ffi::Any outputs;  // of the last run
};

// Runs `warmup` times unmeasured, then `runs` times.
Measurement Measure(const Model& model, int warmup, int runs);

void PrintLatency(std::vector<double> latencies_ms);

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_LATENCY_H_
