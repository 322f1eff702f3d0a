#include "net/io_thread.h"

#include <boost/asio/post.hpp>

namespace penstock::net {

IoThread::IoThread() : work_(io_.get_executor()), thread_([this] { io_.run(); }) {}

IoThread::~IoThread() { Stop(); }

void IoThread::Stop(const std::function<void()>& cancel) {
  if (!thread_.joinable()) return;
  boost::asio::post(io_, [this, &cancel] {
    if (cancel) cancel();
    work_.reset();
  });
  thread_.join();
}

}  // namespace penstock::net
