// What all process groups of a run share: the store through which the ranks met, and the watch over
// them.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <memory>
#include <string>

#include "btm/distributed/rank_watch.h"
#include "btm/distributed/rendezvous.h"

namespace btm {

class Meeting {
 public:
  /// Meets the other ranks at `place`: rank 0 opens the store (on `store_socket`, if that is a
  /// listening socket), the others connect to it. Returns when all have connected. RankLost when
  /// some have not within five minutes. UsageError on all ranks when the numbers of ranks differ or
  /// a rank connects twice; on this rank when those at `place` have another token.
  Meeting(const Rendezvous& place, int store_socket);
  /// The meeting of a run of one rank. It opens the store, where `place` names one, so that others
  /// who connect by mistake learn the number of ranks. Null where it cannot; UsageError where such
  /// a rank is there already.
  static std::shared_ptr<Meeting> of_one(const Rendezvous& place);
  /// Tells the other ranks that this one leaves or, during an exception, that it failed.
  ~Meeting();
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

  const Rendezvous& place() const noexcept { return place_; }
  const c10::intrusive_ptr<c10d::Store>& store() const noexcept { return store_; }
  RankWatch& watch() noexcept { return *watch_; }
  /// Tells the ranks that meet at the place that this rank does not belong to them, so that they do
  /// not wait. Waits at most half a minute for them to come.
  static void tell(const MisplacedRank& rank) noexcept;
  /// Whether the run is over for this rank. Its process groups may then have collectives that never
  /// end.
  bool failing() const;
  /// The address by which the other ranks reach this machine.
  std::string own_address() const;

 private:
  Meeting(const Rendezvous& place, c10::intrusive_ptr<c10d::Store> store, bool hosts);
  void join(bool hosts);

  Rendezvous place_;
  int exceptions_;  ///< In flight at construction.
  c10::intrusive_ptr<c10d::Store> store_;
  std::unique_ptr<RankWatch> watch_;
};

}  // namespace btm
