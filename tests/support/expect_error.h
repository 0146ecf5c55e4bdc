// Errors are part of the interface, so tests state the phrase that a user reads.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <string>
#include <string_view>

namespace btm_test {

/// The message of the E that `call` throws. The test fails when it throws nothing, another type, or
/// a message of several lines.
template <class E, class Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const E& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find('\n'), std::string::npos) << "more than one line: " << text;
    return text;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another type of exception: " << error.what();
    return {};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

/// Expects `call` to throw an E whose message contains `phrase`.
template <class E, class Call>
void expect_error(Call&& call, std::string_view phrase) {
  const std::string text = message_of<E>(std::forward<Call>(call));
  EXPECT_NE(text.find(phrase), std::string::npos)
      << "message: " << text << "\nexpected in it: " << phrase;
}

}  // namespace btm_test
