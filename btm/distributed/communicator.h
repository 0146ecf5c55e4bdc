// A group of processes, as the trainer and the ensemble use it. Implementations: one process, Gloo,
// NCCL.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace at {
class Tensor;
}

namespace btm {

/// Another rank of the run died, failed or does not answer: "rank 2 of 4 is gone". The run cannot
/// continue.
class RankLost : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Communicator {
 public:
  /// A collective under way. wait() returns when its tensor holds the result, and throws when a
  /// rank died.
  class Pending {
   public:
    virtual ~Pending() = default;
    virtual void wait() = 0;
  };

  virtual ~Communicator() = default;
  virtual int rank() const noexcept = 0;
  virtual int size() const noexcept = 0;

  // Collectives: every rank calls the same ones in the same order, with contiguous tensors of one
  // shape, dtype and kind of device. All throw RankLost when a rank died.

  /// Replaces `tensor` by its sum over the ranks.
  virtual std::unique_ptr<Pending> start_all_reduce(const at::Tensor& tensor) = 0;
  void all_reduce(const at::Tensor& tensor) { start_all_reduce(tensor)->wait(); }
  virtual void broadcast(const at::Tensor& tensor, int root) = 0;
  /// Every rank's bytes, by rank. For statistics and small state.
  virtual std::vector<std::string> all_gather(const std::string& bytes) = 0;
  virtual void barrier() = 0;
  /// A group of some of the ranks (ascending). All ranks call it with the same list; it is null on
  /// ranks outside the list.
  virtual std::unique_ptr<Communicator> subgroup(const std::vector<int>& ranks) = 0;
};

/// The group of this process alone.
std::unique_ptr<Communicator> single_process();

}  // namespace btm
