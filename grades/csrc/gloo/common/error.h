// Empty: torch's ProcessGroupGloo.hpp includes it and uses nothing of it, and the wheel of torch has none of gloo's headers.
#pragma once
