#include "domain/gpu_uuid.h"

#include <gtest/gtest.h>

#include <random>
#include <unordered_set>

namespace gpu_telemetry {
namespace {

constexpr std::string_view kText = "GPU-01234567-89ab-cdef-0123-456789abcdef";

TEST(GpuUuid, IsReadAndWritten) {
  EXPECT_EQ(GpuUuid::parse(kText)->to_string(), kText);
  EXPECT_EQ(GpuUuid::parse("GPU-01234567-89AB-CDEF-0123-456789ABCDEF")->to_string(), kText);
  const auto mig = GpuUuid::parse("MIG-01234567-89ab-cdef-0123-456789abcdef");
  EXPECT_EQ(mig->kind(), GpuUuid::Kind::kMig);
  EXPECT_NE(*mig, *GpuUuid::parse(kText));
  EXPECT_EQ(GpuUuid{}.to_string(), "GPU-00000000-0000-0000-0000-000000000000");
}

TEST(GpuUuid, MalformedTextIsNamedWithTheAcceptedForm) {
  for (const char* text :
       {"", "GPU-", "gpu-01234567-89ab-cdef-0123-456789abcdef",
        "CPU-01234567-89ab-cdef-0123-456789abcdef", "01234567-89ab-cdef-0123-456789abcdef",
        "GPU-01234567-89ab-cdef-0123-456789abcde", "GPU-01234567-89ab-cdef-0123-456789abcdef0",
        "GPU-01234567089ab-cdef-0123-456789abcdef", "GPU-01234567-89ab-cdef-0123-456789abcdeg",
        "GPU-0123456--89ab-cdef-0123-456789abcdef", "GPU-01234567-89ab-cdef-0123_456789abcdef"}) {
    GpuUuid untouched = *GpuUuid::parse(kText);
    EXPECT_FALSE(GpuUuid::try_parse(text, untouched)) << text;
    EXPECT_EQ(untouched.to_string(), kText);
    const auto uuid = GpuUuid::parse(text);
    ASSERT_FALSE(uuid);
    EXPECT_EQ(uuid.error().code, ErrorCode::kInvalid);
    EXPECT_NE(uuid.error().message.find("expected GPU- or MIG-"), std::string::npos);
  }
}

TEST(GpuUuid, EveryWrongCharacterIsFound) {
  for (std::size_t at = 0; at < kText.size(); ++at) {
    for (const char wrong : {'g', '-', ' ', '\0', '\x80', '/', ':', '@', 'G', '`'}) {
      std::string text(kText);
      if (text[at] == wrong) continue;
      text[at] = wrong;
      GpuUuid uuid;
      EXPECT_FALSE(GpuUuid::try_parse(text, uuid)) << text;
    }
  }
}

TEST(GpuUuid, IsOrderedAsItsText) {
  std::mt19937_64 random(4);
  const auto draw = [&random] {
    std::array<std::uint8_t, 16> bytes;
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random() % 4 * 85);
    return GpuUuid(static_cast<GpuUuid::Kind>(random() % 2), bytes);
  };
  for (int i = 0; i < 10'000; ++i) {
    const GpuUuid a = draw();
    const GpuUuid b = draw();
    ASSERT_EQ(a < b, a.to_string() < b.to_string());
    ASSERT_EQ(*GpuUuid::parse(a.to_string()), a);
  }
}

TEST(GpuUuid, MigInstancesAreVersion5UuidsInTheirParent) {
  // The example of RFC 9562, appendix A.4: the name "www.example.com" in the DNS namespace.
  const GpuUuid dns = *GpuUuid::parse("GPU-6ba7b810-9dad-11d1-80b4-00c04fd430c8");
  EXPECT_EQ(dns.mig_instance("www.example.com").to_string(),
            "MIG-2ed6657d-e927-568b-95e1-2665a8aea6a2");
}

TEST(GpuUuid, MigInstancesOfOneParentDiffer) {
  const GpuUuid parent = *GpuUuid::parse(kText);
  EXPECT_EQ(parent.mig_instance("1"), parent.mig_instance("1"));
  EXPECT_NE(parent.mig_instance("1"), parent.mig_instance("2"));
  EXPECT_NE(parent.mig_instance("1"), GpuUuid{}.mig_instance("1"));
}

// Streamers of different releases share a fleet by it: these numbers never change.
TEST(GpuUuid, TheStableHashIsTheSameEverywhere) {
  EXPECT_EQ(GpuUuid{}.stable_hash(), 0xba7c8739685e5f19U);
  EXPECT_EQ(GpuUuid::parse(kText)->stable_hash(), 0x812315c48fc93faeU);
  EXPECT_EQ(GpuUuid::parse("MIG-01234567-89ab-cdef-0123-456789abcdef")->stable_hash(),
            0xc85d17c462137198U);
  EXPECT_EQ(GpuUuid::parse("GPU-5fd4f087-86f3-7a43-b711-4771313afc50")->stable_hash(),
            0x29b6e5c23d5024d4U);
}

TEST(GpuUuid, HashesOfMadeUpFleetsSpread) {
  std::unordered_set<std::size_t> low_bits;
  for (std::uint8_t host = 0; host < 64; ++host) {
    for (std::uint8_t gpu = 0; gpu < 8; ++gpu) {
      std::array<std::uint8_t, 16> bytes{};
      bytes[0] = host;
      bytes[15] = gpu;
      low_bits.insert(std::hash<GpuUuid>{}(GpuUuid(GpuUuid::Kind::kGpu, bytes)) % 4096);
    }
  }
  EXPECT_GT(low_bits.size(), 400U);  // 482 of random ones
}

}  // namespace
}  // namespace gpu_telemetry
