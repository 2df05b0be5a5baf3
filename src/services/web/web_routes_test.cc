#include "services/web/web_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/web/web_assets.h"

namespace gpu_telemetry::services {
namespace {

using testing::HasSubstr;
using testing::Not;

const WebAsset* find(std::string_view path) {
  for (const WebAsset& asset : web_assets()) {
    if (asset.path == path) return &asset;
  }
  return nullptr;
}

TEST(WebTest, HasAPageWithoutScriptsOfOthersOrInItsText) {
  const http::Response page = dashboard_page();
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.body, HasSubstr("<div id=\"app\">"));
  EXPECT_THAT(page.body, Not(HasSubstr("https://")));
  EXPECT_THAT(page.body, Not(HasSubstr("<script>")));
  EXPECT_THAT(std::string(page.headers.get("Content-Security-Policy")),
              HasSubstr("script-src 'self';"));
}

TEST(WebTest, KeepsFilesThatAreNamedByTheirContentForAYear) {
  std::size_t scripts = 0;
  for (const WebAsset& asset : web_assets()) {
    EXPECT_FALSE(asset.body.empty()) << asset.path;
    if (!asset.path.starts_with("/assets/")) continue;
    EXPECT_TRUE(asset.is_named_by_content) << asset.path;
    if (asset.path.ends_with(".js")) ++scripts;
  }
  EXPECT_EQ(scripts, 1U);
  EXPECT_FALSE(find("/index.html")->is_named_by_content);
}

TEST(WebTest, HasSwaggerUiWithoutAskingAnybodyElse) {
  ASSERT_NE(find("/swagger/index.html"), nullptr);
  ASSERT_NE(find("/swagger/swagger-ui-bundle.js"), nullptr);
  EXPECT_THAT(std::string(find("/swagger/start.js")->body), HasSubstr("\"/openapi.json\""));
}

TEST(WebTest, ABrowserGetsThePageAndCurlTheData) {
  http::Request request;
  request.headers.set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
  EXPECT_TRUE(wants_page(request));
  request.headers.set("Accept", "*/*");
  EXPECT_FALSE(wants_page(request));
}

}  // namespace
}  // namespace gpu_telemetry::services
