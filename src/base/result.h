// SPDX-License-Identifier: Apache-2.0
//
// base/result.h - a value or the reason why there is none.
#pragma once

#include <expected>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace kata {

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> Fail(Code code, std::string message) {
  return std::unexpected(Error(code, std::move(message)));
}

// For `return FailErrno("open", path);` right after a failed system call.
inline std::unexpected<Error> FailErrno(std::string_view operation, std::string_view subject = {}) {
  return std::unexpected(Error::FromErrno(operation, subject));
}

namespace internal {
template <class T>
T Unwrap(std::expected<T, Error>&& result) {
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}
}  // namespace internal

}  // namespace kata

// The value of `expr`, a Result; where it holds an error, returns that error from this function.
#define KATA_TRY(expr)                                      \
  __extension__({                                           \
    auto kata_try_ = (expr);                                \
    if (!kata_try_) [[unlikely]]                            \
      return std::unexpected(std::move(kata_try_).error()); \
    ::kata::internal::Unwrap(std::move(kata_try_));         \
  })

// The same, with "<context>: " put in front of the error's message.
#define KATA_TRY_WITHIN(context, expr)                                      \
  __extension__({                                                           \
    auto kata_try_ = (expr);                                                \
    if (!kata_try_) [[unlikely]]                                            \
      return std::unexpected(std::move(kata_try_).error().Within(context)); \
    ::kata::internal::Unwrap(std::move(kata_try_));                         \
  })
