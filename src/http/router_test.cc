#include "http/router.h"

#include <gtest/gtest.h>

namespace gpu_telemetry::http {
namespace {

boost::asio::awaitable<Response> answer(Request&) { co_return Response{}; }

Result<void> add(Router& router, Method method, std::string pattern) {
  Route route;
  route.method = method;
  route.pattern = std::move(pattern);
  route.handler = answer;
  return router.add(std::move(route));
}

// The pattern that a request finds, with the values of its placeholders; "404", or "405 Allow".
std::string find(const Router& router, Method method, std::string path) {
  Request request;
  request.method = method;
  request.path = std::move(path);
  const Router::Match match = router.match(request);
  if (match.route == nullptr) return match.allow.empty() ? "404" : "405 " + match.allow;
  std::string found = match.route->pattern;
  for (const auto& [name, value] : request.path_parameters) found += " " + name + "=" + value;
  return found;
}

TEST(RouterTest, PrefersLiteralsFromLeftToRight) {
  Router router;
  ASSERT_TRUE(add(router, Method::kGet, "/gpus/{uuid}"));
  ASSERT_TRUE(add(router, Method::kGet, "/gpus/latest"));
  ASSERT_TRUE(add(router, Method::kGet, "/gpus/latest/{metric}"));
  ASSERT_TRUE(add(router, Method::kGet, "/gpus/{uuid}/telemetry"));
  ASSERT_TRUE(add(router, Method::kGet, "/"));
  EXPECT_EQ(find(router, Method::kGet, "/gpus/latest"), "/gpus/latest");
  EXPECT_EQ(find(router, Method::kGet, "/gpus/x"), "/gpus/{uuid} uuid=x");
  EXPECT_EQ(find(router, Method::kGet, "/gpus/x/telemetry"), "/gpus/{uuid}/telemetry uuid=x");
  EXPECT_EQ(find(router, Method::kGet, "/gpus/latest/telemetry"),
            "/gpus/latest/{metric} metric=telemetry");
  EXPECT_EQ(find(router, Method::kGet, "/"), "/");
  for (const char* path : {"", "x", "/gpus", "/gpus/", "/gpus//telemetry", "/gpus/x/", "//",
                           "/gpus/x/telemetry/y", "/gpus/x/.."}) {
    EXPECT_EQ(find(router, Method::kGet, path), "404") << path;
  }
}

TEST(RouterTest, GoesBackToAPlaceholderWhenTheLiteralLeadsNowhere) {
  Router router;
  ASSERT_TRUE(add(router, Method::kGet, "/a/b/c"));
  ASSERT_TRUE(add(router, Method::kGet, "/a/{x}/d"));
  ASSERT_TRUE(add(router, Method::kPost, "/a/b/d"));
  EXPECT_EQ(find(router, Method::kGet, "/a/b/d"), "/a/{x}/d x=b");
  EXPECT_EQ(find(router, Method::kPost, "/a/b/d"), "/a/b/d");
}

TEST(RouterTest, AnswersHeadWithGetAndNamesTheMethodsOfAPath) {
  Router router;
  ASSERT_TRUE(add(router, Method::kGet, "/a"));
  ASSERT_TRUE(add(router, Method::kPost, "/a"));
  ASSERT_TRUE(add(router, Method::kDelete, "/b"));
  EXPECT_EQ(find(router, Method::kHead, "/a"), "/a");
  EXPECT_EQ(find(router, Method::kPut, "/a"), "405 GET, HEAD, POST");
  EXPECT_EQ(find(router, Method::kHead, "/b"), "405 DELETE");
}

TEST(RouterTest, RefusesMalformedPatternsAndDoubles) {
  Router router;
  for (const char* pattern : {"", "a", "/{", "/{}", "/{a", "/a{b}", "/{a}b", "/{1}", "/{a}/{a}",
                              "/a?b", "/a b", "/a%20b"}) {
    EXPECT_EQ(add(router, Method::kGet, pattern).error().code, ErrorCode::kInvalid) << pattern;
  }
  ASSERT_TRUE(add(router, Method::kGet, "/a/{x}"));
  EXPECT_TRUE(add(router, Method::kPost, "/a/{y}"));
  EXPECT_EQ(add(router, Method::kGet, "/a/{y}").error().code, ErrorCode::kConflict);
  EXPECT_EQ(find(router, Method::kPost, "/a/1"), "/a/{y} y=1");
}

}  // namespace
}  // namespace gpu_telemetry::http
