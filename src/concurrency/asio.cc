// Boost.Asio but for its templates and its TLS (tls/asio_ssl.cc).
#include <boost/asio/impl/src.hpp>
