// The only file that sees ProcessGroupGloo. Therefore only it has gloo_forward/ on its include path
// (CMakeLists.txt).
#define USE_C10D_GLOO

#include "btm/distributed/gloo_communicator.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "compat/base/concat.h"

namespace btm {
namespace {

using c10d::ProcessGroupGloo;

constexpr auto kPatience = std::chrono::milliseconds(1000);  // between looks at the watch
constexpr auto kTimeout =
    std::chrono::hours(24);  // a rank may be busy (validating, saving); the watch finds lost ranks

/// Waits for `work`; RankLost when it fails, or when the watch says so.
void wait_for(c10d::Work& work, RankWatch& watch) {
  // The run can be over while all collectives still succeed: a rank has come that is one too many.
  if (const std::string lost = watch.known_lost(); !lost.empty()) throw RankLost(lost);
  for (;;) {
    std::string problem;
    try {
      work.wait(kPatience);
      return;
    } catch (const std::exception& error) {
      problem = error.what();
    }
    if (work.isCompleted() && work.isSuccess()) return;
    if (work.isCompleted())
      throw RankLost(
          watch.find_lost("a collective failed: " + problem.substr(0, problem.find('\n'))));
    if (const std::string lost = watch.lost(); !lost.empty()) throw RankLost(lost);
  }
}

class GlooCommunicator final : public Communicator {
 public:
  GlooCommunicator(std::shared_ptr<Meeting> meeting, const std::string& name, int rank, int size);
  ~GlooCommunicator() override;

  int rank() const noexcept override { return rank_; }
  int size() const noexcept override { return size_; }
  std::unique_ptr<Pending> start_all_reduce(const at::Tensor& tensor) override;
  void broadcast(const at::Tensor& tensor, int root) override;
  std::vector<std::string> all_gather(const std::string& bytes) override;
  void barrier() override { wait_for(*group_->barrier(), meeting_->watch()); }
  std::unique_ptr<Communicator> subgroup(const std::vector<int>& ranks) override;

 private:
  class Collective final : public Pending {
   public:
    Collective(c10::intrusive_ptr<c10d::Work> work, std::shared_ptr<Meeting> meeting)
        : work_(std::move(work)), meeting_(std::move(meeting)) {}
    void wait() override { wait_for(*work_, meeting_->watch()); }

   private:
    c10::intrusive_ptr<c10d::Work> work_;
    std::shared_ptr<Meeting> meeting_;
  };

  at::Tensor gather(const at::Tensor& tensor);

  std::shared_ptr<Meeting> meeting_;
  std::string name_;
  int rank_, size_;
  int subgroups_ = 0;
  c10::intrusive_ptr<ProcessGroupGloo> group_;
};

GlooCommunicator::GlooCommunicator(std::shared_ptr<Meeting> meeting, const std::string& name,
                                   int rank, int size)
    : meeting_(std::move(meeting)), name_(name), rank_(rank), size_(size) {
  const auto options = ProcessGroupGloo::Options::create(kTimeout);
  const char* const interface = std::getenv("GLOO_SOCKET_IFNAME");
  options->devices.push_back(
      interface != nullptr ? ProcessGroupGloo::createDeviceForInterface(interface)
                           : ProcessGroupGloo::createDeviceForHostname(meeting_->own_address()));
  const RankWatch::Call call(meeting_->watch());  // nothing can interrupt connecting
  try {
    group_ = c10::make_intrusive<ProcessGroupGloo>(
        c10::make_intrusive<c10d::PrefixStore>(name, meeting_->store()), rank, size, options);
  } catch (const std::exception& error) {
    const std::string problem = error.what();
    throw RankLost(meeting_->watch().find_lost("the ranks cannot connect: " +
                                               problem.substr(0, problem.find('\n'))));
  }
}

GlooCommunicator::~GlooCommunicator() {
  // Never destroyed: its destructor would wait for collectives that other ranks never join. The
  // process ends soon.
  if (meeting_->failing()) static_cast<void>(group_.release());
}

std::unique_ptr<Communicator::Pending> GlooCommunicator::start_all_reduce(
    const at::Tensor& tensor) {
  std::vector<at::Tensor> tensors{tensor};
  return std::make_unique<Collective>(group_->allreduce(tensors), meeting_);
}

void GlooCommunicator::broadcast(const at::Tensor& tensor, int root) {
  std::vector<at::Tensor> tensors{tensor};
  c10d::BroadcastOptions options;
  options.rootRank = root;
  wait_for(*group_->broadcast(tensors, options), meeting_->watch());
}

/// tensor [n] -> [size, n]
at::Tensor GlooCommunicator::gather(const at::Tensor& tensor) {
  at::Tensor input = tensor;
  at::Tensor output = at::empty({size_, tensor.size(0)}, tensor.options());
  at::Tensor flat = output.view({-1});
  wait_for(*group_->_allgather_base(flat, input), meeting_->watch());
  return output;
}

std::vector<std::string> GlooCommunicator::all_gather(const std::string& bytes) {
  const at::Tensor length = at::empty({1}, at::kLong);
  *length.mutable_data_ptr<std::int64_t>() = static_cast<std::int64_t>(bytes.size());
  const at::Tensor lengths = gather(length);
  const std::int64_t* const counts = lengths.const_data_ptr<std::int64_t>();
  const std::int64_t longest = *std::max_element(counts, counts + size_);
  if (longest == 0) return std::vector<std::string>(static_cast<std::size_t>(size_));

  const at::Tensor padded = at::empty({longest}, at::kByte);
  auto* const data = padded.mutable_data_ptr<std::uint8_t>();
  std::memcpy(data, bytes.data(), bytes.size());
  std::memset(data + bytes.size(), 0, static_cast<std::size_t>(longest) - bytes.size());
  const at::Tensor all = gather(padded);
  std::vector<std::string> texts;
  for (int rank = 0; rank < size_; ++rank)
    texts.emplace_back(
        reinterpret_cast<const char*>(all.const_data_ptr<std::uint8_t>()) + rank * longest,
        static_cast<std::size_t>(counts[rank]));
  return texts;
}

std::unique_ptr<Communicator> GlooCommunicator::subgroup(const std::vector<int>& ranks) {
  const std::string name = compat::concat(name_, '/', subgroups_++);
  const auto own = std::find(ranks.begin(), ranks.end(), rank_);
  if (own == ranks.end()) return nullptr;
  if (ranks.size() == 1) return single_process();
  return std::make_unique<GlooCommunicator>(meeting_, name, static_cast<int>(own - ranks.begin()),
                                            static_cast<int>(ranks.size()));
}

}  // namespace

std::unique_ptr<Communicator> connect_gloo(std::shared_ptr<Meeting> meeting) {
  const Rendezvous& place = meeting->place();
  const int rank = place.rank, size = place.size;
  return std::make_unique<GlooCommunicator>(std::move(meeting), "gloo", rank, size);
}

}  // namespace btm
