// Sixteen floats at once, for functions that BTM_CLONES compiles for AVX-512 and AVX2. They are
// passed by reference: by value they would be passed differently in each clone.
#pragma once

#include <cstdint>
#include <cstring>

#include "btm/model/clones.h"

namespace btm {

constexpr std::int64_t kWideLanes = 16;
typedef float Wide __attribute__((vector_size(kWideLanes * sizeof(float))));

#define BTM_WIDE_CLONES BTM_CLONES("arch=x86-64-v4", "arch=x86-64-v3")
#define BTM_WIDE_INLINE inline __attribute__((always_inline))

BTM_WIDE_INLINE void read_wide(Wide& to, const float* from) { std::memcpy(&to, from, sizeof(to)); }
BTM_WIDE_INLINE void write_wide(float* to, const Wide& from) {
  std::memcpy(to, &from, sizeof(from));
}

}  // namespace btm
