#include "tls/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <boost/asio/buffer.hpp>
#include <utility>

#include "observability/log.h"

namespace gpu_telemetry::tls {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kMaxFile = std::size_t{4} << 20;  // a system's bundle has 200 KiB
using boost::system::error_code;

// HTTP/1.1 to those who ask by ALPN; others are answered without it.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size,
                    const unsigned char* offered, unsigned offered_size, void*) {
  static constexpr unsigned char kHttp1[] = "\x08http/1.1";
  unsigned char* found = nullptr;
  const int outcome =
      SSL_select_next_proto(&found, size, kHttp1, sizeof kHttp1 - 1, offered, offered_size);
  if (outcome != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_NOACK;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

// Of TLS 1.2: with forward secrecy and authenticated encryption. All of TLS 1.3's have both.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";

std::shared_ptr<TlsContext::Context> make_context(TlsContext::Context::method method) {
  auto context = std::make_shared<TlsContext::Context>(method);
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(native, kCiphers);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);  // 34 KiB less for an idle connection
  return context;
}

// `texts`: certificates, key.
Result<std::shared_ptr<TlsContext::Context>> make_server(const std::vector<std::string>& texts) {
  auto context = make_context(TlsContext::Context::tls_server);
  error_code error;
  context->use_certificate_chain(asio::buffer(texts[0]), error);
  if (error) return invalid("no PEM certificate can be read: " + error.message());
  context->use_private_key(asio::buffer(texts[1]), TlsContext::Context::pem, error);
  if (error) {
    return invalid("the key is no PEM key, or not that of the certificate: " + error.message());
  }
  SSL_CTX_set_alpn_select_cb(context->native_handle(), choose_protocol, nullptr);
  return context;
}

// `texts`: authorities, or nothing.
Result<std::shared_ptr<TlsContext::Context>> make_client(const std::vector<std::string>& texts) {
  auto context = make_context(TlsContext::Context::tls_client);
  error_code error;
  if (texts.empty()) {
    context->set_default_verify_paths(error);
  } else {
    context->add_certificate_authority(asio::buffer(texts[0]), error);
  }
  if (error) return invalid("no PEM certificate of an authority can be read: " + error.message());
  context->set_verify_mode(asio::ssl::verify_peer, error);
  return context;
}

std::string join(const std::vector<std::string>& names) {
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "" : ", ") + name;
  return joined;
}

}  // namespace

Result<std::shared_ptr<TlsContext>> TlsContext::open(const std::vector<std::string>& names,
                                                     Make make, const Clock& clock) {
  std::vector<std::shared_ptr<io::SecretFile>> files;
  std::vector<std::string> texts;
  for (const std::string& name : names) {
    auto file = io::SecretFile::open(name, clock, {}, kMaxFile);
    if (!file) return file.error();
    texts.push_back((*file)->text());
    files.push_back(std::move(*file));
  }
  auto made = make(texts);
  if (!made) return made.error().at(join(names));
  std::shared_ptr<TlsContext> context(new TlsContext(std::move(files), join(names), make));
  const concurrency::MutexLock lock(context->mutex_);
  context->texts_ = std::move(texts);
  context->context_ = std::move(*made);
  return context;
}

Result<std::shared_ptr<TlsContext>> TlsContext::for_server(const std::string& certificate_file,
                                                           const std::string& key_file,
                                                           const Clock& clock) {
  return open({certificate_file, key_file}, make_server, clock);
}

Result<std::shared_ptr<TlsContext>> TlsContext::for_client(const std::string& authorities_file,
                                                           const Clock& clock) {
  std::vector<std::string> files;
  if (!authorities_file.empty()) files.push_back(authorities_file);
  return open(files, make_client, clock);
}

std::shared_ptr<TlsContext::Context> TlsContext::current() {
  std::vector<std::string> texts;
  for (const auto& file : files_) texts.push_back(file->text());
  const concurrency::MutexLock lock(mutex_);
  if (texts == texts_ || texts == tried_) return context_;
  auto made = make_(texts);
  if (made) {
    texts_ = std::move(texts);
    context_ = std::move(*made);
    observability::log_info("TLS: new files are in force", {{"files", names_}});
  } else {
    tried_ = std::move(texts);
    observability::log_warn("TLS: the files have changed and cannot be used: the old ones stay",
                            {{"files", names_}, {"error", made.error().message}});
  }
  return context_;
}

std::string handshake_problem(SSL* connection, const error_code& error) {
  const long verified = SSL_get_verify_result(connection);
  if (verified == X509_V_OK) return error.message();
  return std::string("the certificate is not accepted: ") + X509_verify_cert_error_string(verified);
}

}  // namespace gpu_telemetry::tls
