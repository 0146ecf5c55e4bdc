#include "btm/distributed/gradient_reducer.h"

#include <c10/core/ScalarType.h>

namespace btm {

GradientReducer::GradientReducer(const at::Tensor& gradients,
                                 const std::vector<GradientSlot>& slots, std::int64_t bucket_bytes,
                                 int world_size)
    : bucket_of_(slots.size()),
      world_size_(world_size),
      half_(c10::isReducedFloatingType(gradients.scalar_type())) {
  const std::int64_t element = static_cast<std::int64_t>(gradients.element_size());
  for (std::size_t last = slots.size(); last > 0;) {
    std::size_t first = last - 1;
    const std::int64_t end = slots[first].offset + slots[first].numel;
    while (first > 0 && slots[first - 1].group == slots[first].group &&
           (end - slots[first - 1].offset) * element <= bucket_bytes)
      --first;
    Bucket bucket;
    bucket.gradients = gradients.narrow(0, slots[first].offset, end - slots[first].offset);
    bucket.group = slots[first].group;
    bucket.slots = bucket.waiting = last - first;
    for (std::size_t slot = first; slot < last; ++slot) bucket_of_[slot] = buckets_.size();
    buckets_.push_back(std::move(bucket));
    last = first;
  }
}

void GradientReducer::start(Bucket& bucket) {
  if (half_) bucket.gradients.div_(world_size_);
  bucket.pending = bucket.group->start_all_reduce(bucket.gradients);
}

void GradientReducer::ready(std::size_t first, std::size_t last) {
  for (std::size_t slot = first; slot < last; ++slot) --buckets_[bucket_of_[slot]].waiting;
  for (; next_ < buckets_.size() && buckets_[next_].waiting == 0; ++next_) start(buckets_[next_]);
}

void GradientReducer::finish() {
  for (; next_ < buckets_.size(); ++next_) start(buckets_[next_]);
  for (Bucket& bucket : buckets_) {
    bucket.pending->wait();
    bucket.pending.reset();
    bucket.waiting = bucket.slots;
  }
  next_ = 0;
}

}  // namespace btm
