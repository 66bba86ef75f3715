// Logging through spdlog, kept behind one header so that rooms below cli/ never print.
#pragma once

#include <spdlog/spdlog.h>

namespace xh {
namespace log = ::spdlog;
}
