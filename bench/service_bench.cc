// What the running service costs: `penstock run` as a process, following a loopback relay that sends at a fixed rate, with
// a forum filter and a SQLite store. Prints resident memory and the share of one core, from the operating system's own
// accounts of the process.
//
//   service_bench PROGRAM FILE.frames [frames per second = 2000] [seconds = 20] [options of run…]
//
// Without options: --verify cid. With identities from a file: --did-docs FILE, with --verify-all for every account.

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "firehose/capture.h"
#include "firehose/frame.h"
#include "fixtures/relay/relay.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Usage {
  double cpu_s = 0;
  double resident_mb = 0, peak_mb = 0;
};

// From /proc: the process is still running.
Usage UsageOf(pid_t pid) {
  Usage usage;
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  unsigned long user = 0, system = 0;
  const size_t after_name = text.rfind(')');
  if (after_name != std::string::npos) {
    std::sscanf(text.c_str() + after_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
  }
  usage.cpu_s = static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    double kb = 0;
    if (std::sscanf(line.c_str(), "VmRSS: %lf", &kb) == 1) usage.resident_mb = kb / 1024;
    if (std::sscanf(line.c_str(), "VmHWM: %lf", &kb) == 1) usage.peak_mb = kb / 1024;
  }
  return usage;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: service_bench PROGRAM FILE.frames [frames per second] [seconds]\n");
    return 2;
  }
  const double rate = argc > 3 ? std::atof(argv[3]) : 2000;
  const double seconds = argc > 4 ? std::atof(argv[4]) : 20;

  std::vector<std::pair<int64_t, std::string>> frames;
  auto reader = penstock::firehose::CaptureReader::Open(argv[2]);
  if (!reader.ok()) {
    std::fprintf(stderr, "%s\n", std::string(reader.status().message()).c_str());
    return 1;
  }
  penstock::firehose::FrameBufferPool pool;
  penstock::firehose::FrameBuffer buffer = pool.Take();
  penstock::firehose::Frame frame;
  const size_t enough = static_cast<size_t>(rate * (seconds + 5));
  while (frames.size() < enough) {
    const auto more = (*reader)->Next(&buffer);
    if (!more.ok() || !*more) break;
    if (!penstock::firehose::DecodeFrame(buffer.bytes(), &frame).ok() || !frame.seq) continue;
    frames.emplace_back(*frame.seq, std::string(buffer.bytes().begin(), buffer.bytes().end()));
  }
  if (frames.size() < enough) {
    std::fprintf(stderr, "%s has %zu frames, %zu are needed\n", argv[2], frames.size(), enough);
    return 1;
  }

  auto relay = penstock::fixtures::Relay::Start();
  if (!relay.ok()) return 1;
  const std::string store = (std::filesystem::temp_directory_path() / ("penstock-service-bench-" + std::to_string(getpid()) + ".db")).string();
  const std::string url = (*relay)->url(), store_url = "sqlite:" + store;
  const pid_t pid = fork();
  if (pid == 0) {
    std::vector<std::string> args = {argv[1], "run", "--relay", url, "--collections", "space.atbb.*", "--cursor", "0", "--store",
                                     store_url};
    for (int i = 5; i < argc; ++i) args.emplace_back(argv[i]);
    if (argc <= 5) args.insert(args.end(), {"--verify", "cid"});
    std::vector<char*> words;
    for (std::string& arg : args) words.push_back(arg.data());
    words.push_back(nullptr);
    execv(argv[1], words.data());
    _exit(127);
  }

  // Frames leave in small steps, as a network delivers them; the first two seconds warm up.
  const auto start = Clock::now();
  size_t sent = 0;
  Usage before;
  Clock::time_point measured_from = start;
  bool measuring = false;
  for (;;) {
    const double passed = std::chrono::duration<double>(Clock::now() - start).count();
    if (passed >= seconds + 2) break;
    if (!measuring && passed >= 2) {
      before = UsageOf(pid);
      measured_from = Clock::now();
      measuring = true;
    }
    const size_t due = std::min(frames.size(), static_cast<size_t>(passed * rate));
    for (; sent < due; ++sent) (*relay)->Append(frames[sent].first, std::move(frames[sent].second));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const Usage after = UsageOf(pid);
  const double measured = std::chrono::duration<double>(Clock::now() - measured_from).count();
  kill(pid, SIGTERM);
  int status = 0;
  waitpid(pid, &status, 0);
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) std::filesystem::remove(store + suffix);
  std::string how = argc > 5 ? "" : " --verify cid";
  for (int i = 5; i < argc; ++i) how += std::string(" ") + argv[i];
  std::printf("penstock run, space.atbb.*%s, %.0f frames/s for %.0f s: %.1f %% of one core, %.1f MB resident, %.1f MB at most, exit %d\n",
              how.c_str(), rate, measured, (after.cpu_s - before.cpu_s) / measured * 100, after.resident_mb, after.peak_mb,
              WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  return status == 0 ? 0 : 1;
}
