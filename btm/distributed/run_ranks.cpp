#include "btm/distributed/run_ranks.h"

#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>

#include "btm/distributed/communicator.h"
#include "btm/distributed/gloo_communicator.h"
#include "btm/distributed/launcher.h"
#include "btm/distributed/meeting.h"
#include "btm/distributed/open_files.h"
#include "compat/io/temporaries.h"
#ifdef BTM_CUDA
#include <ATen/Context.h>

#include "btm/distributed/nccl_communicator.h"
#endif

namespace btm {
namespace {

#ifdef BTM_CUDA
bool use_gpus(const DistributedOptions& options) {
  return !options.cpu && at::hasCUDA() && num_gpus() > 0;
}
#endif

std::shared_ptr<Meeting> meet(const Rendezvous& rendezvous, const std::string& program,
                              bool launched) {
  auto meeting = std::make_shared<Meeting>(rendezvous, inherited_store_socket());
  meeting->watch().when_stuck([program, launched](const std::string& lost) {
    if (!launched) std::cerr << program << ": error: " << lost << std::endl;
    std::_Exit(launched ? kRankLostStatus : 1);
  });
  return meeting;
}

std::unique_ptr<Communicator> connect([[maybe_unused]] const DistributedOptions& options,
                                      const Rendezvous& rendezvous, const std::string& program,
                                      bool launched) {
#ifdef BTM_CUDA
  if (use_gpus(options)) {
    use_gpu(rendezvous.local_rank);
    if (rendezvous.size > 1) return connect_nccl(meet(rendezvous, program, launched));
  }
#endif
  if (rendezvous.size == 1) return single_process();
  const std::shared_ptr<Meeting> meeting = meet(rendezvous, program, launched);
  const RankWatch::Call call(meeting->watch());  // a rank may end before all are connected
  return connect_gloo(meeting);
}

/// Ends this process, a run of one rank, soon after another rank of the same run has come.
class LoneRankWatch {
 public:
  LoneRankWatch(const Rendezvous& place, const std::string& program)
      : meeting_(Meeting::of_one(place)) {
    if (!meeting_) return;
    meeting_->watch().when_stuck([program](const std::string& lost) {
      compat::remove_noted_temporaries();
      std::cerr << program << ": error: " << lost << std::endl;
      std::_Exit(1);
    });
    call_.emplace(meeting_->watch());
  }

 private:
  std::shared_ptr<Meeting> meeting_;
  std::optional<RankWatch::Call> call_;
};

}  // namespace

int run_ranks(const DistributedOptions& given, const std::string& program,
              const std::function<int(Communicator& world, const RankPlace& place)>& body) {
  DistributedOptions options = given;  // NOLINT(performance-unnecessary-copy-initialization)
#ifdef BTM_CUDA
  if (options.world_size == 0 && use_gpus(options))
    options.world_size = num_gpus();  // fairseq's default: all of them
#endif
  Rendezvous rendezvous;
  try {
    rendezvous = find_rendezvous(options);
  } catch (const MisplacedRank& rank) {
    std::cerr << program << ": error: " << rank.what() << std::endl;
    Meeting::tell(rank);
    return 2;
  }
  if (rendezvous.size > 1) allow_open_files(rendezvous.size);
  if (rendezvous.spawn > 0) return launch_local_ranks(rendezvous, program);

  std::optional<LoneRankWatch> lone;
  if (rendezvous.size == 1) lone.emplace(rendezvous, program);
  const RankPlace place{rendezvous.local_rank, process_environment(kLaunched).has_value()};
  try {
    const std::unique_ptr<Communicator> world =
        connect(options, rendezvous, program, place.launched);
    return body(*world, place);
  } catch (const RankLost&) {
    if (place.launched) return kRankLostStatus;
    throw;
  }
}

}  // namespace btm
