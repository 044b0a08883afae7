// Element-by-element comparison without a tolerance, as `ectoolkit.compare` does it.
#ifndef ECTOOLKIT_RUNNER_COMPARE_H_
#define ECTOOLKIT_RUNNER_COMPARE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ectoolkit {

// The first element that differs, and how many more do in the same tensor.
struct Mismatch {
  std::string name;
  std::vector<std::int64_t> index;  // in the tensor's own axes
  float found = 0;
  float expected = 0;
  std::size_t mismatches = 0;
  std::size_t elements = 0;
};

// Differences of all tensors together; `mismatches` is 0 when every element is equal.
struct Diff {
  std::size_t elements = 0;
  std::size_t mismatches = 0;
  double max_abs_diff = 0;
  double sum_abs_diff = 0;
  std::optional<Mismatch> first;

  // Adds one tensor. Two NaNs are equal; NaN against a number differs by infinity.
  void Add(const std::string& name, const std::vector<std::int64_t>& shape, const float* found,
           const std::vector<float>& expected);

  // Prints the lines that `ectoolkit run` prints too.
  void Print() const;
};

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_COMPARE_H_
