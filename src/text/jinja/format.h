// The two formatting languages of Python strings: "%s" % x and "{}".format(x).
#pragma once

#include "text/jinja/runtime.h"

namespace xh::jinja {

// format % args; a tuple gives several arguments, a dict serves %(name)s.
Value format_percent(Runtime& rt, const Value& format, const Value& args);
// format.format(*positional, **named)
Value format_braces(Runtime& rt, const Value& format, const Args& args);

}  // namespace xh::jinja
