#include "observability/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gpu_telemetry::observability {
namespace {

using ::testing::ElementsAre;

TEST(Health, IsReadyWhenNothingIsExpected) { EXPECT_TRUE(Health().ready()); }

TEST(Health, IsNotReadyBeforeAnExpectedCheckPasses) {
  Health health;
  health.expect("storage");
  EXPECT_FALSE(health.ready());
  EXPECT_THAT(health.state().checks, ElementsAre(Health::Check{"storage", false, "starting"}));
  health.set_ok("storage");
  EXPECT_TRUE(health.ready());
}

TEST(Health, AnExpectationDoesNotUndoAReport) {
  Health health;
  health.set_ok("storage");
  health.expect("storage");
  EXPECT_TRUE(health.ready());
}

TEST(Health, NamesWhatFailsAndWhyInOrderOfNames) {
  Health health;
  health.set_failed("storage", "disk full");
  health.set_ok("queue");
  const Health::State state = health.state();
  EXPECT_FALSE(state.ready);
  EXPECT_FALSE(state.draining);
  EXPECT_THAT(state.checks, ElementsAre(Health::Check{"queue", true, ""},
                                        Health::Check{"storage", false, "disk full"}));
}

TEST(Health, ForgetsTheReasonOnceACheckPasses) {
  Health health;
  health.set_failed("queue", "connection refused");
  health.set_ok("queue");
  EXPECT_THAT(health.state().checks, ElementsAre(Health::Check{"queue", true, ""}));
}

TEST(Health, IsNeverReadyAgainOnceDraining) {
  Health health;
  health.set_ok("storage");
  health.start_draining();
  health.set_ok("storage");
  EXPECT_FALSE(health.ready());
  EXPECT_TRUE(health.draining());
  EXPECT_TRUE(health.state().draining);
}

}  // namespace
}  // namespace gpu_telemetry::observability
