#include "btm/distributed/communicator.h"

namespace btm {
namespace {

class SingleProcess final : public Communicator {
 public:
  int rank() const noexcept override { return 0; }
  int size() const noexcept override { return 1; }
  std::unique_ptr<Pending> start_all_reduce(const at::Tensor&) override {
    return std::make_unique<Done>();
  }
  void broadcast(const at::Tensor&, int) override {}
  std::vector<std::string> all_gather(const std::string& bytes) override { return {bytes}; }
  void barrier() override {}
  std::unique_ptr<Communicator> subgroup(const std::vector<int>& ranks) override {
    return ranks.empty() ? nullptr : std::make_unique<SingleProcess>();
  }

 private:
  struct Done final : Pending {
    void wait() override {}
  };
};

}  // namespace

std::unique_ptr<Communicator> single_process() { return std::make_unique<SingleProcess>(); }

}  // namespace btm
