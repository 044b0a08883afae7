// SHA-256 (FIPS 180-4), so that the program needs no cryptography library.
#ifndef ECTOOLKIT_RUNNER_SHA256_H_
#define ECTOOLKIT_RUNNER_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ectoolkit {

class Sha256 {
 public:
  void Update(std::string_view bytes);
  // The digest of everything given so far, in lower-case hex; the object is spent afterwards.
  std::string Finish();

 private:
  void Compress(const unsigned char* block);

  static constexpr std::size_t kBlockBytes = 64;
  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, kBlockBytes> pending_ = {};
  std::size_t pending_bytes_ = 0;
  std::uint64_t total_bytes_ = 0;
};

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_SHA256_H_
