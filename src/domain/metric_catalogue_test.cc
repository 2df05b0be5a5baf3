#include "domain/metric_catalogue.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "domain/telemetry_batch.h"

namespace gpu_telemetry {
namespace {

using ::testing::UnorderedElementsAreArray;

TEST(MetricCatalogue, HoldsEveryNumericField) { EXPECT_EQ(metric_definitions().size(), 493U); }

TEST(MetricCatalogue, FindsEveryFieldUnderEachOfItsNames) {
  for (const MetricDefinition& definition : metric_definitions()) {
    EXPECT_EQ(find_metric(definition.name), &definition) << definition.name;
    EXPECT_EQ(find_metric(definition.current_name), &definition) << definition.current_name;
    EXPECT_EQ(canonical_metric_name(definition.current_name), definition.name);
  }
}

TEST(MetricCatalogue, NoTwoFieldsShareANameOrAnId) {
  std::set<std::string_view> names;
  std::set<int> ids;
  for (const MetricDefinition& definition : metric_definitions()) {
    EXPECT_TRUE(names.insert(definition.name).second) << definition.name;
    if (definition.current_name != definition.name) {
      EXPECT_TRUE(names.insert(definition.current_name).second) << definition.current_name;
    }
    EXPECT_TRUE(ids.insert(definition.field_id).second) << definition.field_id;
  }
}

TEST(MetricCatalogue, IsSortedByName) {
  EXPECT_TRUE(std::ranges::is_sorted(metric_definitions(), {}, &MetricDefinition::name));
}

TEST(MetricCatalogue, EveryNameIsValidAndEveryFieldIsExplained) {
  for (const MetricDefinition& definition : metric_definitions()) {
    EXPECT_TRUE(is_valid_metric_name(definition.name)) << definition.name;
    EXPECT_TRUE(is_valid_metric_name(definition.current_name)) << definition.current_name;
    EXPECT_FALSE(definition.help.empty()) << definition.name;
    EXPECT_LT(definition.valid_min, definition.valid_max) << definition.name;
  }
}

TEST(MetricCatalogue, RenamedFieldsAreStoredUnderTheEarlierName) {
  const MetricDefinition* temperature = find_metric("DCGM_FI_DEV_GPU_TEMP_CELSIUS");
  ASSERT_NE(temperature, nullptr);
  EXPECT_EQ(temperature->name, "DCGM_FI_DEV_GPU_TEMP");
  EXPECT_EQ(temperature->current_name, "DCGM_FI_DEV_GPU_TEMP_CELSIUS");
  EXPECT_EQ(temperature->field_id, 150);
  EXPECT_EQ(temperature->type, MetricType::kInt64);
  EXPECT_EQ(temperature->kind, MetricKind::kGauge);
  EXPECT_EQ(temperature->unit, "C");
  EXPECT_TRUE(temperature->exported_by_default);
  EXPECT_EQ(canonical_metric_name("DCGM_FI_DEV_BOARD_POWER_WATTS"), "DCGM_FI_DEV_POWER_USAGE");
  EXPECT_EQ(canonical_metric_name("DCGM_FI_DEV_GPU_UTIL_RATIO"), "DCGM_FI_DEV_GPU_UTIL");
}

TEST(MetricCatalogue, UnknownNamesPassThrough) {
  EXPECT_EQ(find_metric(""), nullptr);
  EXPECT_EQ(find_metric("DCGM_FI_DEV_GPU_TEM"), nullptr);
  EXPECT_EQ(find_metric("DCGM_FI_DEV_GPU_TEMP "), nullptr);
  EXPECT_EQ(find_metric("dcgm_fi_dev_gpu_temp"), nullptr);
  EXPECT_EQ(canonical_metric_name("my_metric"), "my_metric");
}

TEST(MetricCatalogue, NamesCutAnywhereAreNotFound) {
  for (const MetricDefinition& definition : metric_definitions()) {
    for (std::size_t size = 0; size < definition.name.size(); ++size) {
      const std::string_view cut = definition.name.substr(0, size);
      const MetricDefinition* found = find_metric(cut);
      // One field's name may begin another's.
      EXPECT_TRUE(found == nullptr || found->name == cut || found->current_name == cut) << cut;
    }
  }
}

TEST(MetricCatalogue, TheDefaultSetIsThatOfTheExporter) {
  std::vector<int> ids;
  for (const MetricDefinition& definition : metric_definitions()) {
    if (definition.exported_by_default) ids.push_back(definition.field_id);
  }
  EXPECT_THAT(ids, UnorderedElementsAreArray({100, 101, 140,  150,  155,  156,  202, 203, 204,
                                              206, 207, 230,  251,  252,  253,  393, 394, 395,
                                              449, 526, 1001, 1004, 1005, 1009, 1010}));
}

TEST(MetricCatalogue, FieldsWithInt32BlanksHaveLimitsThatExcludeThem) {
  int count = 0;
  for (const MetricDefinition& definition : metric_definitions()) {
    if (!definition.int32_blanks) continue;
    ++count;
    EXPECT_LT(definition.valid_max, 2147483632.0) << definition.name;
  }
  EXPECT_GT(count, 30);
}

TEST(MetricCatalogue, FieldsOfTheCaptureHaveUnitsAndLimits) {
  struct Expected {
    std::string_view name;
    std::string_view unit;
    double low;   // a value that occurs
    double high;  // likewise
    double impossible;
  };
  constexpr Expected kExpected[] = {
      {"DCGM_FI_DEV_GPU_UTIL", "%", 0, 100, 101},
      {"DCGM_FI_DEV_MEM_COPY_UTIL", "%", 0, 100, 101},
      {"DCGM_FI_DEV_ENC_UTIL", "%", 0, 100, 101},
      {"DCGM_FI_DEV_DEC_UTIL", "%", 0, 100, -1},
      {"DCGM_FI_DEV_POWER_USAGE", "W", 0, 2000, -1},
      {"DCGM_FI_DEV_GPU_TEMP", "C", 0, 110, 1000},
      {"DCGM_FI_DEV_FB_USED", "MiB", 0, 300'000, -1},
      {"DCGM_FI_DEV_FB_FREE", "MiB", 0, 300'000, 1e9},
      {"DCGM_FI_DEV_SM_CLOCK", "MHz", 0, 3000, -1},
      {"DCGM_FI_DEV_MEM_CLOCK", "MHz", 0, 16'000, 1e6},
  };
  for (const Expected& expected : kExpected) {
    const MetricDefinition* definition = find_metric(expected.name);
    ASSERT_NE(definition, nullptr) << expected.name;
    EXPECT_EQ(definition->unit, expected.unit) << expected.name;
    EXPECT_TRUE(definition->int32_blanks) << expected.name;
    EXPECT_EQ(interpret_reading(definition, expected.low).rejection, Rejection::kNone);
    EXPECT_EQ(interpret_reading(definition, expected.high).rejection, Rejection::kNone);
    EXPECT_EQ(interpret_reading(definition, expected.impossible).rejection, Rejection::kOutOfRange);
  }
}

}  // namespace
}  // namespace gpu_telemetry
