// Declarations for torch's ProcessGroupGloo.hpp, whose inline functions name them: gloo is inside libtorch_cpu, and the
// wheel of torch has none of its headers. No object of these types is ever made here, and no function of them is called.
#pragma once

#include <chrono>

namespace gloo {

namespace transport {
class UnboundBuffer {
public:
  virtual ~UnboundBuffer() = 0;
};
} // namespace transport

class Context {
public:
  void setTimeout(std::chrono::milliseconds timeout);
};

} // namespace gloo
