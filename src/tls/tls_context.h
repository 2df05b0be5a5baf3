// What one end of a TLS connection proves itself with, and whom it trusts.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "concurrency/thread_annotations.h"
#include "domain/clock.h"
#include "domain/result.h"
#include "io/secret_file.h"

namespace gpu_telemetry::tls {

// TLS 1.2 and later, with ciphers that have forward secrecy and authenticated encryption. Its files
// are looked at once a second at most, when somebody asks; when they have changed, connections that
// begin from then on use the new ones. New files that cannot be used (half of a pair is written, a
// certificate without its key) leave the old ones in force, which is logged once. Thread-safe.
class TlsContext {
 public:
  using Context = boost::asio::ssl::context;

  // A server that proves itself by a chain of certificates, its own first, and its key; both PEM.
  // `clock` outlives the context. Errors: kNotFound, kUnavailable, kInvalid, naming the file.
  static Result<std::shared_ptr<TlsContext>> for_server(const std::string& certificate_file,
                                                        const std::string& key_file,
                                                        const Clock& clock);
  // A client that trusts the authorities of a PEM file, or, when its name is empty, the system's.
  // Whom the certificate has to name is said for each connection. Errors: as above.
  static Result<std::shared_ptr<TlsContext>> for_client(const std::string& authorities_file,
                                                        const Clock& clock);

  // To be kept as long as the connection that begins with it.
  std::shared_ptr<Context> current();

 private:
  using Make = Result<std::shared_ptr<Context>> (*)(const std::vector<std::string>& texts);

  static Result<std::shared_ptr<TlsContext>> open(const std::vector<std::string>& files, Make make,
                                                  const Clock& clock);
  TlsContext(std::vector<std::shared_ptr<io::SecretFile>> files, std::string names, Make make)
      : files_(std::move(files)), names_(std::move(names)), make_(make) {}

  const std::vector<std::shared_ptr<io::SecretFile>> files_;
  const std::string names_;  // of the files, for the log
  const Make make_;
  concurrency::Mutex mutex_;
  std::vector<std::string> texts_ GPU_TELEMETRY_GUARDED_BY(mutex_);  // of the context
  std::vector<std::string> tried_ GPU_TELEMETRY_GUARDED_BY(mutex_);  // the last that were not good
  std::shared_ptr<Context> context_ GPU_TELEMETRY_GUARDED_BY(mutex_);
};

// Why a handshake failed, for a person: a certificate that was not accepted says why.
std::string handshake_problem(SSL* connection, const boost::system::error_code& error);

}  // namespace gpu_telemetry::tls
