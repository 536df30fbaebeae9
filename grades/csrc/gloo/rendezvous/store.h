// The base of `ProcessGroupGloo::GlooStore`, whose virtual functions torch's ProcessGroupGloo.hpp overrides: the wheel of
// torch has none of gloo's headers. A `GlooStore` must never be made here: its table of functions would be this one's.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace gloo::rendezvous {

class Store {
public:
  virtual ~Store() = default;
  virtual void set(const std::string &key, const std::vector<char> &data) = 0;
  virtual std::vector<char> get(const std::string &key) = 0;
  virtual void wait(const std::vector<std::string> &keys) = 0;
  virtual void wait(const std::vector<std::string> &keys, const std::chrono::milliseconds &timeout) = 0;
};

} // namespace gloo::rendezvous
