// For tests: an authority, and certificates that it signs.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

namespace gpu_telemetry::tls {

class TestAuthority {
 public:
  struct Pair {
    std::string certificate;  // PEM
    std::string key;          // PEM
  };

  explicit TestAuthority(const std::string& name = "test authority")
      : key_(new_key()), certificate_(make(name, key_.get(), "CA:TRUE", {})) {}

  std::string certificate() const { return to_pem(certificate_.get()); }

  // `names` as OpenSSL writes them: "DNS:localhost,IP:127.0.0.1". `days`: until it ends.
  Pair issue(const std::string& names, int days = 1) const {
    const Key key(new_key());
    const Certificate leaf = make("test server", key.get(), "CA:FALSE", names, days);
    return {to_pem(leaf.get()), to_pem(key.get())};
  }

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
    void operator()(BIO* bio) const { BIO_free(bio); }
  };
  using Key = std::unique_ptr<EVP_PKEY, Free>;
  using Certificate = std::unique_ptr<X509, Free>;

  // EVP_EC_gen is a macro that casts the name's const away.
  static EVP_PKEY* new_key() { return EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"); }

  static void extend(X509* certificate, int kind, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }

  // Signed by the authority, or by itself while there is none.
  Certificate make(const std::string& name, EVP_PKEY* key, const std::string& constraints,
                   const std::string& names, int days = 1) const {
    Certificate made(X509_new());
    X509_set_version(made.get(), X509_VERSION_3);
    static long serial = 0;
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial);
    constexpr long kDay = 24L * 60 * 60;
    X509_gmtime_adj(X509_getm_notBefore(made.get()), -2 * kDay);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), days * kDay);
    X509_NAME* const subject = X509_get_subject_name(made.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509* const issuer = certificate_ != nullptr ? certificate_.get() : made.get();
    X509_set_issuer_name(made.get(), X509_get_subject_name(issuer));
    X509_set_pubkey(made.get(), key);
    extend(made.get(), NID_basic_constraints, "critical," + constraints);
    if (!names.empty()) extend(made.get(), NID_subject_alt_name, names);
    X509_sign(made.get(), key_.get(), EVP_sha256());
    return made;
  }

  template <class Write>
  static std::string written(Write write) {
    const std::unique_ptr<BIO, Free> bio(BIO_new(BIO_s_mem()));
    write(bio.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<std::size_t>(size)};
  }
  static std::string to_pem(X509* certificate) {
    return written([&](BIO* bio) { PEM_write_bio_X509(bio, certificate); });
  }
  static std::string to_pem(EVP_PKEY* key) {
    return written([&](BIO* bio) {
      PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
    });
  }

  Key key_;
  Certificate certificate_;
};

// A folder of PEM files, gone with it.
class TestFiles {
 public:
  TestFiles() {
    std::string pattern = testing::TempDir() + "tls-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~TestFiles() { std::filesystem::remove_all(folder_); }
  TestFiles(const TestFiles&) = delete;
  TestFiles& operator=(const TestFiles&) = delete;

  // Writes the file and says where it is.
  std::string write(const std::string& name, const std::string& text) const {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::trunc) << text;
    return path;
  }

 private:
  std::string folder_;
};

}  // namespace gpu_telemetry::tls
