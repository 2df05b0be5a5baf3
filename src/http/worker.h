// One core's share of a server: an io_context, an acceptor, its sessions and their deadlines.
// Nothing in it is shared between threads but what ServerState says.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/list.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "http/deadline_wheel.h"
#include "http/request_recorder.h"
#include "http/server.h"
#include "http/session.h"

namespace prometheus {
class Gauge;
}

namespace gpu_telemetry::http {

using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::ip::tcp,
                                                    boost::asio::io_context::executor_type>;

// What all workers of a server share.
struct ServerState {
  ServerOptions options;
  Router router;
  prometheus::Gauge* open_connections = nullptr;
  std::atomic<std::uint32_t> connections{0};  // sessions, refused ones not counted
  std::atomic<std::uint32_t> refused{0};      // sessions that only say 503
  std::atomic<std::uint64_t> bodies{0};       // bytes of the requests' bodies in memory
  std::uint32_t max_connections = 0;          // as many as files may be open
  std::uint32_t max_refused = 0;              // past it further ones are closed without a word
  std::uint64_t max_unsent = 0;               // bytes of each worker
  std::atomic<bool> draining{false};
  std::mutex mutex;
  std::condition_variable session_ended;  // notified while draining

  bool idle() const { return connections == 0 && refused == 0; }
};

class Worker {
 public:
  explicit Worker(ServerState& state);
  ~Worker();

  boost::asio::io_context& context() { return context_; }
  // Listening already; before start().
  void set_acceptor(Acceptor acceptor) { acceptor_ = std::move(acceptor); }

  // From any thread:
  void start();   // the thread; accepts
  void drain();   // takes what is in the backlog, then nothing more; ends idle sessions
  void cut();     // ends all sessions
  void finish();  // ends the thread; what is still suspended goes when the worker is destroyed

  // From the worker's own thread, for its sessions:
  const ServerState& state() const { return state_; }
  bool draining() const { return state_.draining.load(std::memory_order_relaxed); }
  DeadlineWheel& wheel() { return wheel_; }
  RequestRecorder& recorder() { return recorder_; }
  std::string_view date() const { return date_; }  // at most a tick old
  std::string make_request_id();
  void add(Session& session);
  void remove(Session& session);
  // Counts a request's body in; false, and not counted, when the bodies of all fill their room.
  bool hold_body(std::uint64_t size);
  void let_go_of_body(std::uint64_t size);
  // An answer waits for its client, which then reads some of it. When those that wait fill their
  // room, the ones without progress for longest are given up.
  void begin_unsent(Session& session);
  void note_progress(Session& session);
  void end_unsent(Session& session);

 private:
  using Socket = Stream::Socket;
  using SessionHook = boost::intrusive::member_hook<Session, boost::intrusive::list_member_hook<>,
                                                    &Session::worker_hook>;
  using UnsentHook = boost::intrusive::member_hook<Session, boost::intrusive::list_member_hook<>,
                                                   &Session::unsent_hook>;

  boost::asio::awaitable<void> accept_loop();
  boost::asio::awaitable<void> tick_loop();
  void accept_backlog();
  void admit_waiting(int most);
  void admit(Socket socket);
  void refresh_date();
  void run();

  ServerState& state_;
  RequestRecorder recorder_;
  DeadlineWheel wheel_;
  boost::intrusive::list<Session, SessionHook, boost::intrusive::constant_time_size<false>>
      sessions_;
  // Those whose answers wait, the one without progress for longest first.
  boost::intrusive::list<Session, UnsentHook, boost::intrusive::constant_time_size<false>> unsent_;
  std::uint64_t unsent_bytes_ = 0;
  std::string date_;
  std::uint64_t next_id_;
  std::thread thread_;
  // Last, so that suspended coroutines go before what they use.
  boost::asio::io_context context_{1};
  boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                    boost::asio::wait_traits<std::chrono::steady_clock>,
                                    boost::asio::io_context::executor_type>
      ticker_{context_};
  Acceptor acceptor_{context_};
};

}  // namespace gpu_telemetry::http
