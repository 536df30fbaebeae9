// Empty: CUDA's runtime headers include it to check the compiler of device code, and no wheel that torch depends on has it.
#pragma once
