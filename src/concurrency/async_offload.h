// The one way from a coroutine to blocking work: run it on a bounded pool and come back.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <type_traits>
#include <utility>

namespace gpu_telemetry::concurrency {

// Runs `work` on `pool` and resumes on the calling coroutine's executor with what it returned.
// `work` must not throw across rooms; it returns a Result. It is kept alive until it has run, also
// when the coroutine is destroyed meanwhile (then its result is dropped).
//
// Name the function object before the co_await expression (GCC 12 destroys temporaries in such an
// expression twice):
//     auto read = [&] { return repository.list(filter); };
//     auto page = co_await async_offload(pool, read);
template <class Work>
auto async_offload(boost::asio::thread_pool& pool, Work work)
    -> boost::asio::awaitable<std::invoke_result_t<Work&>> {
  using Value = std::invoke_result_t<Work&>;
  namespace asio = boost::asio;
  const auto caller = co_await asio::this_coro::executor;
  auto start = [&pool, caller, work = std::move(work)](auto handler) mutable {
    // Keeps the caller's io_context running while only the pool has work.
    auto executor = asio::prefer(caller, asio::execution::outstanding_work.tracked);
    auto job = [executor, work = std::move(work), handler = std::move(handler)]() mutable {
      Value value = work();
      auto resume = [handler = std::move(handler), value = std::move(value)]() mutable {
        std::move(handler)(std::move(value));
      };
      asio::post(executor, std::move(resume));
    };
    asio::post(pool, std::move(job));
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Value)>(
      std::move(start), asio::use_awaitable);
}

}  // namespace gpu_telemetry::concurrency
