// The TLS of Boost.Asio but for its templates, as concurrency/asio.cc is the rest.
#include <boost/asio/ssl/impl/src.hpp>
