#include "services/api_gateway/storage_probe.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "domain/duration.h"

namespace gpu_telemetry::services {

namespace asio = boost::asio;

asio::awaitable<Result<void>> StorageProbe::ask() {
  const auto waiting = std::make_shared<Waiting>(co_await asio::this_coro::executor);
  waiting->timer.expires_after(patience_);
  bool first = false;
  {
    const std::lock_guard lock(state_->mutex);
    state_->waiting.push_back(waiting);
    first = !std::exchange(state_->asking, true);
  }
  if (first) {
    asio::post(pool_, [&telemetry = telemetry_, state = state_] {
      answer(*state, telemetry.check_health());
    });
  }
  co_await waiting->timer.async_wait(asio::as_tuple(asio::use_awaitable));
  if (waiting->answer) co_return std::move(*waiting->answer);
  const std::lock_guard lock(state_->mutex);
  std::erase(state_->waiting, waiting);
  co_return unavailable("storage does not answer within " + format_duration(patience_));
}

void StorageProbe::answer(State& state, const Result<void>& answer) {
  std::vector<std::shared_ptr<Waiting>> waiting;
  {
    const std::lock_guard lock(state.mutex);
    state.asking = false;
    waiting.swap(state.waiting);
  }
  for (const auto& each : waiting) {
    asio::post(each->timer.get_executor(), [each, answer] {
      each->answer = answer;
      each->timer.cancel();
    });
  }
}

}  // namespace gpu_telemetry::services
