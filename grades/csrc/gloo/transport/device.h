// A name for torch's ProcessGroupGloo.hpp, which has shared pointers to it: the wheel of torch has none of gloo's headers.
#pragma once

namespace gloo::transport {
class Device;
} // namespace gloo::transport
