// BTM_CLONES("avx2", ...): the function is compiled once more for each of these x86 targets, and
// the program picks the best one that its processor has. Expands to nothing elsewhere and with
// clang.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define BTM_CLONES(...) __attribute__((target_clones(__VA_ARGS__, "default")))
#else
#define BTM_CLONES(...)
#endif
