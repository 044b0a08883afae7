#include "compare.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace ectoolkit {
namespace {

bool Equal(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

double Distance(float a, float b) {
  const double distance = std::fabs(static_cast<double>(a) - static_cast<double>(b));
  return std::isnan(distance) ? std::numeric_limits<double>::infinity() : distance;
}

std::vector<std::int64_t> Unravel(std::size_t flat, const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> index(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    const auto extent = static_cast<std::size_t>(shape[axis]);
    index[axis] = static_cast<std::int64_t>(flat % extent);
    flat /= extent;
  }
  return index;
}

}  // namespace

void Diff::Add(const std::string& name, const std::vector<std::int64_t>& shape, const float* found,
               const std::vector<float>& expected) {
  Mismatch own{name, {}, 0, 0, 0, expected.size()};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (Equal(found[i], expected[i])) continue;
    const double distance = Distance(found[i], expected[i]);
    max_abs_diff = std::max(max_abs_diff, distance);
    sum_abs_diff += distance;
    if (own.mismatches++ == 0) {
      own.index = Unravel(i, shape);
      own.found = found[i];
      own.expected = expected[i];
    }
  }
  elements += own.elements;
  mismatches += own.mismatches;
  if (!first && own.mismatches) first = std::move(own);
}

void Diff::Print() const {
  const auto count = static_cast<double>(std::max<std::size_t>(elements, 1));
  // Nine digits, so that one wrong value among millions does not print as a ratio of 1.
  std::printf("max abs diff: %.9g\n", max_abs_diff);
  std::printf("mean abs diff: %.9g\n", sum_abs_diff / count);
  std::printf("correct ratio: %.9g\n", 1 - static_cast<double>(mismatches) / count);
  if (!first) return;
  std::string index;
  for (std::int64_t i : first->index) index += (index.empty() ? "" : ", ") + std::to_string(i);
  std::printf("first difference: %s[%s] is %.9g, expected %.9g (%zu of %zu differ)\n", first->name.c_str(),
              index.c_str(), static_cast<double>(first->found), static_cast<double>(first->expected),
              first->mismatches, first->elements);
}

}  // namespace ectoolkit
