#pragma once

// A thread with an io_context, for whoever speaks to the network and has none.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <thread>

namespace penstock::net {

class IoThread {
 public:
  IoThread();
  ~IoThread();  // Stop()
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  // Work posted here runs on the thread, one at a time.
  boost::asio::any_io_executor executor() { return io_.get_executor(); }

  // Runs `cancel` on the thread (it ends what is under way: sockets closed, timers cancelled), then waits
  // until nothing is left to do. From another thread; the second call does nothing.
  void Stop(const std::function<void()>& cancel = {});

 private:
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
};

}  // namespace penstock::net
