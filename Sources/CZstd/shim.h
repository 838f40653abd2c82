#pragma once
// For ZSTD_estimateCStreamSize_usingCCtxParams and its like: the shared library has them too.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
