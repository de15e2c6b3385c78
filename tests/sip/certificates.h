#ifndef SLUICE_TESTS_SIP_CERTIFICATES_H_
#define SLUICE_TESTS_SIP_CERTIFICATES_H_

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <string>

#include "base/check.h"
#include "sip/transport.h"
#include "tests/base/temp_folder.h"

namespace sluice::sip {

// An authority of a test's own and what it signs, as PEM files in a folder that
// goes with it.
class Authority {
 public:
  explicit Authority(const std::string& name = "ca") : name_(name) {
    key_ = EVP_EC_gen("P-256");
    CHECK(key_ != nullptr);
    certificate_ = Begin(name, key_);
    AddExtension(certificate_, NID_basic_constraints, "critical,CA:TRUE");
    AddExtension(certificate_, NID_key_usage, "critical,keyCertSign,cRLSign");
    CHECK(X509_sign(certificate_, key_, EVP_sha256()) > 0);
    WriteCertificate(file(), certificate_);
  }
  ~Authority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  std::string file() const { return folder_ / (name_ + ".pem"); }

  // A leg's certificate with alternative names like "DNS:a.example,IP:::1", and
  // this authority as the one trusted.
  TlsOptions Issue(const std::string& name, const std::string& alternatives) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* leaf = Begin(name, key);
    X509_set_issuer_name(leaf, X509_get_subject_name(certificate_));
    AddExtension(leaf, NID_subject_alt_name, alternatives);
    CHECK(X509_sign(leaf, key_, EVP_sha256()) > 0);
    const TlsOptions made = {.certificate = folder_ / (name + ".pem"),
                             .key = folder_ / (name + ".key"),
                             .ca = file()};
    WriteCertificate(made.certificate, leaf);
    WriteKey(made.key, key);
    X509_free(leaf);
    EVP_PKEY_free(key);
    return made;
  }

  static void WriteKey(const std::string& path, EVP_PKEY* key,
                       const char* password = nullptr) {
    std::FILE* file = std::fopen(path.c_str(), "w");
    CHECK(file != nullptr);
    CHECK(PEM_write_PrivateKey(
              file, key, password == nullptr ? nullptr : EVP_aes_128_cbc(),
              nullptr, 0, nullptr, const_cast<char*>(password)) == 1);
    CHECK(std::fclose(file) == 0);
  }

 private:
  static X509* Begin(const std::string& name, EVP_PKEY* key) {
    static int serial = 0;
    X509* made = X509_new();
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(made), -3'600);
    X509_gmtime_adj(X509_getm_notAfter(made), 86'400);
    X509_NAME_add_entry_by_txt(
        X509_get_subject_name(made), "CN", MBSTRING_ASC,
        reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(made, X509_get_subject_name(made));
    X509_set_pubkey(made, key);
    return made;
  }
  static void AddExtension(X509* to, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, to, to, nullptr, nullptr, 0);
    X509_EXTENSION* made =
        X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    CHECK(made != nullptr);
    CHECK(X509_add_ext(to, made, -1) == 1);
    X509_EXTENSION_free(made);
  }
  static void WriteCertificate(const std::string& path, X509* certificate) {
    std::FILE* file = std::fopen(path.c_str(), "w");
    CHECK(file != nullptr);
    CHECK(PEM_write_X509(file, certificate) == 1);
    CHECK(std::fclose(file) == 0);
  }

  TempFolder folder_;
  const std::string name_;
  EVP_PKEY* key_ = nullptr;
  X509* certificate_ = nullptr;
};

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_CERTIFICATES_H_
