// inference: run a deploy directory without Python, and compare the result with its reference.
#include <cstdio>
#include <exception>
#include <vector>

#include "arguments.h"
#include "compare.h"
#include "deployment.h"
#include "failure.h"
#include "latency.h"
#include "model.h"
#include "threads.h"

namespace ectoolkit {
namespace {

enum ExitStatus : int { kEqual = 0, kDifferent = 1, kCouldNotRun = 2 };

// Reads the references before the runs: what is missing is said at once.
std::vector<std::vector<float>> ReadReferences(const Deployment& deployment) {
  std::vector<std::vector<float>> references;
  for (const TensorFile& output : deployment.manifest.outputs) {
    references.push_back(ReadFloats(deployment.Path(output.file)));
  }
  return references;
}

Measurement RunModel(const Model& model, const Arguments& arguments, const Deployment& deployment) {
  try {
    return Measure(model, arguments.warmup, arguments.runs);
  } catch (const std::exception& error) {
    throw Failure(deployment.Path(kLibrary).string() + " failed while running: " + Reason(error) +
                  ". Build the directory again");
  }
}

int Main(const Arguments& arguments) {
  const Deployment deployment = LoadDeployment(arguments.folder);
  const Manifest& manifest = deployment.manifest;
  const std::vector<std::vector<float>> references = ReadReferences(deployment);
  SetThreads(arguments.threads);
  const Model model(deployment);
  const Measurement measurement = RunModel(model, arguments, deployment);

  Diff diff;
  const std::vector<const float*> values = model.Values(measurement.outputs);
  for (std::size_t i = 0; i < values.size(); ++i) {
    diff.Add(manifest.outputs[i].name, manifest.outputs[i].shape, values[i], references[i]);
  }
  std::printf("model: %s  target: %s  isa: %s\n", manifest.name.c_str(), manifest.target.c_str(),
              manifest.isa.c_str());
  PrintLatency(measurement.latencies_ms);
  diff.Print();
  if (std::fflush(stdout) != 0) throw Failure("cannot write to standard output");
  return diff.mismatches ? kDifferent : kEqual;
}

}  // namespace
}  // namespace ectoolkit

int main(int argc, char** argv) {
  using namespace ectoolkit;
  try {
    const Arguments arguments = ParseArguments(argc, argv);
    if (!arguments.help) return Main(arguments);
    std::printf("%s%s", kUsage, kHelp);
    return kEqual;
  } catch (const UsageError& error) {
    std::fprintf(stderr, "inference: %s\n%s", error.what(), kUsage);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "inference: %s\n", error.what());
  }
  return kCouldNotRun;
}
