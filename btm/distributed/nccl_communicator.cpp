#ifdef BTM_CUDA
#include "btm/distributed/nccl_communicator.h"

#include <c10/cuda/CUDAFunctions.h>

#include <algorithm>
#include <exception>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <type_traits>

#include "btm/distributed/gloo_communicator.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

using c10d::ProcessGroupNCCL;

constexpr auto kTimeout = std::chrono::hours(1);  // NCCL's own last resort; the watch is faster

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(std::shared_ptr<Meeting> meeting, const std::string& name,
                   std::unique_ptr<Communicator> host)
      : meeting_(std::move(meeting)), name_(name), host_(std::move(host)) {
    const auto options = ProcessGroupNCCL::Options::create();
    options->timeout = kTimeout;
    group_ = c10::make_intrusive<ProcessGroupNCCL>(
        c10::make_intrusive<c10d::PrefixStore>(name, meeting_->store()), host_->rank(),
        host_->size(), options);
  }
  ~NcclCommunicator() override {
    if (!meeting_->failing()) {
      try {
        group_->shutdown();
        return;
      } catch (const std::exception&) {
        // A rank was lost at the last moment.
      }
    }
    // Never destroyed: its destructor would wait for kernels that never end. The process ends soon.
    static_cast<void>(group_.release());
  }

  int rank() const noexcept override { return host_->rank(); }
  int size() const noexcept override { return host_->size(); }

  std::unique_ptr<Pending> start_all_reduce(const at::Tensor& tensor) override {
    if (!tensor.is_cuda()) return host_->start_all_reduce(tensor);
    std::vector<at::Tensor> tensors{tensor};
    return std::make_unique<Collective>(
        checked(*meeting_, [&] { return group_->allreduce(tensors); }), meeting_);
  }
  void broadcast(const at::Tensor& tensor, int root) override {
    if (!tensor.is_cuda()) return host_->broadcast(tensor, root);
    std::vector<at::Tensor> tensors{tensor};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    Collective(checked(*meeting_, [&] { return group_->broadcast(tensors, options); }), meeting_)
        .wait();
  }
  std::vector<std::string> all_gather(const std::string& bytes) override {
    return host_->all_gather(bytes);
  }
  void barrier() override { host_->barrier(); }
  std::unique_ptr<Communicator> subgroup(const std::vector<int>& ranks) override {
    const std::string name = compat::concat(name_, '/', subgroups_++);
    std::unique_ptr<Communicator> host = host_->subgroup(ranks);
    if (host == nullptr || ranks.size() == 1) return host;
    return std::make_unique<NcclCommunicator>(meeting_, name, std::move(host));
  }

 private:
  /// Returns or throws as `action` does. RankLost when a rank is known to be lost, or is found to
  /// be when NCCL fails.
  template <class Action>
  static std::invoke_result_t<Action> checked(Meeting& meeting, Action&& action) {
    if (const std::string lost = meeting.watch().lost(); !lost.empty()) throw RankLost(lost);
    const RankWatch::Call call(meeting.watch());
    try {
      return action();
    } catch (const RankLost&) {
      throw;
    } catch (const std::exception& error) {
      const std::string lost = meeting.watch().find_lost(error.what());
      if (meeting.watch().lost().empty()) throw;  // this rank's own: a fault of its GPU, say
      throw RankLost(lost);
    }
  }

  class Collective final : public Pending {
   public:
    Collective(c10::intrusive_ptr<c10d::Work> work, std::shared_ptr<Meeting> meeting)
        : work_(std::move(work)), meeting_(std::move(meeting)) {}
    /// Until the sum is complete. With a rank lost it never is, and nothing can interrupt a CUDA
    /// call that waits for it.
    void wait() override {
      checked(*meeting_, [this] {
        while (!work_->isCompleted()) {
          if (const std::string lost = meeting_->watch().lost(); !lost.empty())
            throw RankLost(lost);
          std::this_thread::sleep_for(std::chrono::microseconds(20));
        }
        if (const std::exception_ptr error = work_->exception()) std::rethrow_exception(error);
        return work_->wait();
      });
    }

   private:
    c10::intrusive_ptr<c10d::Work> work_;
    std::shared_ptr<Meeting> meeting_;
  };

  std::shared_ptr<Meeting> meeting_;
  std::string name_;
  std::unique_ptr<Communicator> host_;
  int subgroups_ = 0;
  c10::intrusive_ptr<ProcessGroupNCCL> group_;
};

}  // namespace

int num_gpus() { return c10::cuda::device_count(); }

void use_gpu(int device) {
  if (device < 0 || device >= num_gpus())
    throw compat::UsageError(
        compat::concat("GPU ", device, " does not exist, this process sees ", num_gpus()));
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(device));
}

std::unique_ptr<Communicator> connect_nccl(std::shared_ptr<Meeting> meeting) {
  std::unique_ptr<Communicator> host = connect_gloo(meeting);
  return std::make_unique<NcclCommunicator>(std::move(meeting), "nccl", std::move(host));
}

}  // namespace btm
#endif  // BTM_CUDA
