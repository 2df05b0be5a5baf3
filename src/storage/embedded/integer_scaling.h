// Scaled integers back to the doubles that they stand for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gpu_telemetry::storage::embedded {

inline constexpr unsigned kMaxExponent = 12;

// 10 to the power of `exponent`, at most kMaxExponent. Exact.
double power_of_ten(unsigned exponent);

// out[i] = integers[i] / 10^exponent, rounded once, to nearest. Every processor gives the same
// bits.
void scale_integers(const std::int64_t* integers, std::size_t count, unsigned exponent,
                    double* out);

namespace scaling {

// The two ways of doing it, for tests. The second needs AVX2 and FMA (has_fma()).
bool has_fma();
void scale_integers_baseline(const std::int64_t* integers, std::size_t count, unsigned exponent,
                             double* out);
void scale_integers_fma(const std::int64_t* integers, std::size_t count, unsigned exponent,
                        double* out);

}  // namespace scaling
}  // namespace gpu_telemetry::storage::embedded
