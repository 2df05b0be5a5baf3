// One connection of a server: reads requests, has them handled in order, writes the answers.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/intrusive/list_hook.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/chunk_decoder.h"
#include "http/deadline_wheel.h"
#include "http/head_parser.h"
#include "http/input_buffer.h"
#include "http/message.h"
#include "http/router.h"
#include "http/stream.h"

namespace gpu_telemetry::http {

class Worker;

// Lives on its worker's thread. Whoever holds it keeps it until run() has ended.
class Session final : public DeadlineWheel::Entry,
                      public std::enable_shared_from_this<Session>,
                      private Interruption {
 public:
  enum class Welcome { kServe, kRefuse };  // kRefuse: says 503 and closes

  Session(Worker& worker, Stream::Socket socket, std::shared_ptr<Stream::TlsContext> tls,
          std::string remote_address, Welcome welcome);
  ~Session() override;

  boost::asio::awaitable<void> run();
  // Ends run() when it waits for a request and none has begun; a handler that wants to know is
  // told.
  void drain();
  // Closes the connection; a handler that still runs is cancelled at what it waits for.
  void cut();
  Welcome welcome() const { return welcome_; }
  boost::asio::cancellation_signal& cancellation() { return cancellation_; }

  // Its answer waits for the client to read, and others need the memory: ends it.
  void give_up_answer();
  // Bytes of what is being sent, with those that were sent already: they are kept as long.
  std::uint64_t unsent() const { return unsent_; }

  boost::intrusive::list_member_hook<> worker_hook;  // the worker's
  boost::intrusive::list_member_hook<> unsent_hook;  // the worker's, while the answer waits

 private:
  class StreamWriter;
  enum class Phase { kIdle, kReading, kServing };
  enum class Sent { kAll, kBlocked, kFailed };
  using Output = std::array<boost::asio::const_buffer, 3>;

  void on_deadline() override;
  void arm(std::chrono::milliseconds timeout);
  void disarm() { DeadlineWheel::clear(*this); }

  // Interruption.
  Why why() const override;
  void notify(std::function<void()> then) override;
  void watch();
  void on_readable(std::uint64_t answer, const boost::system::error_code& error);
  void tell_interrupted();
  void end_answer();

  // Reading. Each says in failure_ what to answer, if anything, when it returns false.
  boost::asio::awaitable<bool> read_head();
  boost::asio::awaitable<bool> read_body(std::uint64_t limit);
  boost::asio::awaitable<bool> read_sized_body(std::size_t length);
  boost::asio::awaitable<bool> read_chunked_body(std::uint64_t limit);
  boost::asio::awaitable<bool> read_more();
  bool hold_body(std::uint64_t size);
  void let_go_of_body();
  bool skip_blank_lines();
  void on_read_error();
  bool understand_head();
  std::optional<HeadProblem> parse_head();
  std::optional<HeadProblem> parse_target();
  bool refuse(const HeadProblem& problem);
  bool refuse(int status, std::string_view detail) { return refuse(HeadProblem{status, detail}); }

  // Answering. Each returns whether the connection is good for another request.
  boost::asio::awaitable<bool> serve();
  boost::asio::awaitable<void> let_others_go_first();
  boost::asio::awaitable<void> handle();
  boost::asio::awaitable<bool> respond();
  boost::asio::awaitable<bool> stream_body();
  void prepare_response();
  void record();
  std::string_view raw_path() const;

  // Writing. False: failed, and error_ says how.
  Sent send_now();
  boost::asio::awaitable<bool> send_rest();
  boost::asio::awaitable<bool> send_as_it_is_read();
  boost::asio::awaitable<bool> send();
  bool advance(std::size_t size);
  boost::asio::awaitable<void> linger();

  // TLS.
  boost::asio::awaitable<bool> shake_hands();
  boost::asio::awaitable<void> say_goodbye();

  Worker& worker_;
  Stream stream_;
  const std::string remote_address_;
  const Welcome welcome_;
  boost::asio::cancellation_signal cancellation_;
  InputBuffer input_;
  HeadScanner scanner_;

  Phase phase_ = Phase::kIdle;
  bool timed_out_ = false;
  bool cut_ = false;
  bool linger_ =
      false;  // the client may still be sending: closing at once could cost it the answer

  // Of the current request.
  std::optional<HeadProblem> failure_;
  Request request_;
  RequestLine line_;
  Framing framing_;
  std::string raw_target_;
  const Route* route_ = nullptr;
  std::string allow_;
  std::chrono::steady_clock::time_point started_;
  std::uint64_t held_ = 0;  // bytes of the body that the worker counts

  // Of its answer.
  Response response_;
  bool close_ = false;
  bool with_stream_ = false;
  std::string head_;
  Output output_;
  std::uint64_t bytes_sent_ = 0;
  std::uint64_t unsent_ = 0;
  bool given_up_ = false;
  std::string_view error_;        // why the answer is incomplete
  std::function<void()> notify_;  // who wants to know that the answer is interrupted
  bool client_left_ = false;
  std::uint64_t answer_ = 1;   // counts them
  std::uint64_t watched_ = 0;  // the answer during which the client's end is watched
};

}  // namespace gpu_telemetry::http
