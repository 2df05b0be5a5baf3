#include "storage/embedded/integer_scaling.h"

#include <iterator>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gpu_telemetry::storage::embedded {
namespace {

constexpr double kPowers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
static_assert(std::size(kPowers) == kMaxExponent + 1);

}  // namespace

double power_of_ten(unsigned exponent) { return kPowers[exponent]; }

namespace scaling {

void scale_integers_baseline(const std::int64_t* integers, std::size_t count, unsigned exponent,
                             double* out) {
  if (exponent == 0) {
    for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<double>(integers[i]);
    return;
  }
  const double power = kPowers[exponent];
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<double>(integers[i]) / power;
}

#if defined(__x86_64__)

bool has_fma() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
}

// Four at a time. An integer below 2^51 becomes a double by adding it to the bits of 1.5 * 2^52.
// The quotient is found by multiplying with the reciprocal and correcting once by the remainder,
// which a fused multiply-add gives exactly. What is rounded at the end then differs from the true
// quotient by less than 2^-50 of its last place, and no integer below 2^53 divided by a power of
// ten up to 10^12 lies that close to the middle between two doubles (the nearest are 2^-41 away,
// and none is the middle itself): so it rounds as division does.
__attribute__((target("avx2,fma"))) void scale_integers_fma(const std::int64_t* integers,
                                                            std::size_t count, unsigned exponent,
                                                            double* out) {
  const double power = kPowers[exponent];
  const __m256d divisor = _mm256_set1_pd(power);
  const __m256d reciprocal = _mm256_set1_pd(1.0 / power);
  const __m256d magic = _mm256_set1_pd(6755399441055744.0);
  const __m256i magic_bits = _mm256_castpd_si256(magic);
  const __m256i half_range = _mm256_set1_epi64x(std::int64_t{1} << 51);
  const __m256i beyond = _mm256_set1_epi64x(~((std::int64_t{1} << 52) - 1));
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const __m256i integer = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(integers + i));
    if (!_mm256_testz_si256(_mm256_add_epi64(integer, half_range), beyond)) {
      scale_integers_baseline(integers + i, 4, exponent, out + i);
      continue;
    }
    __m256d value =
        _mm256_sub_pd(_mm256_castsi256_pd(_mm256_add_epi64(integer, magic_bits)), magic);
    if (exponent != 0) {
      const __m256d quotient = _mm256_mul_pd(value, reciprocal);
      const __m256d remainder = _mm256_fnmadd_pd(quotient, divisor, value);
      value = _mm256_fmadd_pd(remainder, reciprocal, quotient);
    }
    _mm256_storeu_pd(out + i, value);
  }
  scale_integers_baseline(integers + i, count - i, exponent, out + i);
}

#else

bool has_fma() { return false; }
void scale_integers_fma(const std::int64_t* integers, std::size_t count, unsigned exponent,
                        double* out) {
  scale_integers_baseline(integers, count, exponent, out);
}

#endif

}  // namespace scaling

void scale_integers(const std::int64_t* integers, std::size_t count, unsigned exponent,
                    double* out) {
  if (scaling::has_fma()) {
    scaling::scale_integers_fma(integers, count, exponent, out);
  } else {
    scaling::scale_integers_baseline(integers, count, exponent, out);
  }
}

}  // namespace gpu_telemetry::storage::embedded
